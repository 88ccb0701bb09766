from pathlib import Path

import pytest
import torch

from rl.offline.adapter import adapter_problems, read_adapter
from rl.offline.folders import read_weights
from tests.rl.offline.models import adapter, model

BASE = {"layer.q.weight": torch.ones(4, 3), "layer.norm.weight": torch.ones(3)}
FACTORS = {"layer.q.lora_A": torch.ones(2, 3), "layer.q.lora_B": torch.ones(4, 2)}


def test_an_adapter_names_the_factors_of_the_weights_that_it_changes(tmp_path: Path) -> None:
    found = read_adapter(adapter(tmp_path / "lora", FACTORS))
    assert found.scaling == 4 / 2
    assert found.changes("layer.q.weight")
    assert not found.changes("layer.norm.weight")
    assert found.factor_names("layer.q.weight") == (
        "base_model.model.layer.q.lora_A.weight",
        "base_model.model.layer.q.lora_B.weight",
    )
    assert adapter_problems(read_weights(model(tmp_path / "base", BASE)), found) == []


def test_rank_stabilised_adapters_are_scaled_by_the_root_of_the_rank(tmp_path: Path) -> None:
    found = read_adapter(adapter(tmp_path / "lora", FACTORS, use_rslora=True, r=4))
    assert found.scaling == 4 / 2


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"rank_pattern": {"q": 8}}, "rank_pattern"),
        ({"alpha_pattern": {"q": 8}}, "alpha_pattern"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"r": 0}, "r"),
    ],
)
def test_what_is_no_plain_lora_is_refused(tmp_path: Path, config: dict, named: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=f"adapter_config.json: {named} is not that of a plain"):
        read_adapter(adapter(tmp_path / "lora", FACTORS, **config))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"r": "many", "lora_alpha": 1}'])
def test_a_config_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    folder = adapter(tmp_path / "lora", FACTORS)
    (folder / "adapter_config.json").write_text(text)
    with pytest.raises(ValueError, match=r"adapter_config.json cannot be read"):
        read_adapter(folder)


@pytest.mark.parametrize(
    ("factors", "problem"),
    [
        ({"layer.k.lora_A": torch.ones(2, 3)}, "factors that fit no weight"),
        ({"layer.q.lora_A": torch.ones(2, 3)}, "factors that fit no weight"),
        ({"layer.q.lora_A": torch.ones(2, 4)}, "factors of another shape"),
        ({"layer.q.lora_B": torch.ones(5, 2)}, "factors of another shape"),
        ({"layer.q.lora_B": torch.ones(4, 3)}, "factors of another shape"),
    ],
)
def test_an_adapter_of_another_model_is_refused(
    tmp_path: Path, factors: dict[str, torch.Tensor], problem: str
) -> None:
    both = factors if "no weight" in problem else FACTORS | factors
    base = read_weights(model(tmp_path / "base", BASE))
    [found] = adapter_problems(base, read_adapter(adapter(tmp_path / "lora", both)))
    assert problem in found
