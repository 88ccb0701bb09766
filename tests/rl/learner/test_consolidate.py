"""From a saved state to a Hugging Face folder; what several ranks save is in test_ranks.py."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from rl.learner.checkpoint import write_index
from rl.learner.consolidate import consolidate
from rl.learner.deepspeed_learner import CHECKPOINT_TAG
from rl.learner.model import add_lora, load_model
from rl.learner.policy import Policy
from tests.rl.learner.replay_driver import run_config

pytestmark = pytest.mark.engine


def saved(folder: Path, state: dict[str, torch.Tensor]) -> Path:
    """A checkpoint of stage 0 as DeepSpeed writes it: one file with all the weights."""
    (folder / CHECKPOINT_TAG).mkdir(parents=True)
    torch.save({"module": state}, folder / CHECKPOINT_TAG / "mp_rank_00_model_states.pt")
    write_index(folder, {"learner.zero_stage": 0}, updates=3)
    return folder


def changed_policy(model: Path, options: dict[str, Any]) -> Policy:
    """The policy of the model, every trainable weight a little off."""
    config = run_config(options)
    loaded = load_model(str(model), config.model, None, torch.device("cpu"))
    if config.learner.lora.rank:
        add_lora(loaded, config.learner.lora)
    generator = torch.Generator().manual_seed(1)
    for parameter in filter(lambda each: each.requires_grad, loaded.parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data += 0.1 * noise
    return Policy(loaded, 1.0, 1.0, 1)


@pytest.mark.parametrize("fixture", ["tiny_model", "tiny_tied_model"])
def test_whole_weights_come_out_as_they_were_saved(
    fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model = request.getfixturevalue(fixture)
    policy = changed_policy(model, {})
    checkpoint = saved(tmp_path / "checkpoint", policy.state_dict())
    consolidate(checkpoint, run_config({}), str(model), tmp_path / "out")
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    for name, tensor in policy.model.state_dict().items():
        assert torch.equal(found[name], tensor), name
    assert (tmp_path / "out" / "tokenizer.json").is_file()


def test_adapters_are_folded_into_the_weights_they_change(tiny_model: Path, tmp_path: Path) -> None:
    options = {"learner": {"lora": {"rank": 2}}}
    policy = changed_policy(tiny_model, options)
    adapters = {name: t for name, t in policy.state_dict().items() if ".lora_" in name}
    checkpoint = saved(tmp_path / "checkpoint", adapters)
    consolidate(checkpoint, run_config(options), str(tiny_model), tmp_path / "out")
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        expected = policy.model(tokens).logits
        torch.testing.assert_close(found(tokens).logits, expected, rtol=0, atol=1e-4)
        before = AutoModelForCausalLM.from_pretrained(tiny_model)(tokens).logits
    assert (found(tokens).logits - before).abs().max() > 1e-2


def test_weights_of_another_model_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "checkpoint", {"model.other.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"is not of the model .*model\.other\.weight"):
        consolidate(checkpoint, run_config({}), str(tiny_model), tmp_path / "out")


def test_a_folder_without_a_checkpoint_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no learner checkpoint"):
        consolidate(tmp_path, run_config({}), str(tiny_model), tmp_path / "out")
