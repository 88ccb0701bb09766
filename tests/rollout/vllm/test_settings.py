import json
import shutil
from dataclasses import replace

from rollout.vllm.settings import Settings, code_hash, differences, model_hash, public_version
from tests.engine_fixtures import LAB

NEEDED = Settings(
    vllm="0.32.0", plugin="a", model="b", dtype="float32", logprobs_mode="processed_logprobs",
    max_model_tokens=600,
)  # fmt: skip
SERVED = replace(NEEDED, max_model_tokens=700, backend="nccl")


def test_a_replica_with_the_same_settings_and_more_room_serves():
    assert differences(SERVED, NEEDED) == []


def test_every_difference_is_listed():
    found = differences(replace(SERVED, dtype="bfloat16", model="c", max_model_tokens=500), NEEDED)
    assert found == [
        "its model is c, the run's is b",
        "its dtype is bfloat16, the run's is float32",
        "it has room for 500 tokens, the run needs 600",
    ]


def test_a_model_is_known_by_its_shape_and_vocabulary_and_not_by_its_place(tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(LAB / "short", copy)
    assert model_hash(str(copy)) == model_hash(str(LAB / "short"))
    config = json.loads((copy / "config.json").read_text())
    config["rms_norm_eps"] *= 2
    (copy / "config.json").write_text(json.dumps(config))
    assert model_hash(str(copy)) != model_hash(str(LAB / "short"))


def test_cpu_and_cuda_builds_are_one_vllm():
    assert public_version("0.32.0+cpu") == public_version("0.32.0") == "0.32.0"


def test_our_code_has_a_hash():
    assert len(code_hash()) == 16 and code_hash() == code_hash()
