import json

import torch

from rollout.vllm.fingerprint import packed_fingerprints, unpacked_fingerprints


def test_fingerprints_survive_json_bit_by_bit():
    values = {"a": torch.tensor([1 / 3, -2e-30]), "b": torch.tensor([float("inf")])}
    back = unpacked_fingerprints(json.loads(json.dumps(packed_fingerprints(values))))
    assert all(torch.equal(back[name], value) for name, value in values.items())
