from pathlib import Path

import pytest

from data.config import DataConfig
from rl.cli.compose import compose
from rl.cli.inputs import read_inputs
from rl.cli.machine import Machine

RECIPE = Path(__file__).resolve().parents[3] / "recipes" / "lab" / "grpo.yaml"
CPU = Machine(num_cores=2, num_gpus=0)


def test_the_first_prompts_are_trained_on_and_all_held_out_ones_stay() -> None:
    def inputs(num_prompts: int):  # type: ignore[no-untyped-def]
        return read_inputs(compose(RECIPE, [f"data.num_prompts={num_prompts}"], CPU).config)

    every, few = inputs(0), inputs(3)
    assert (len(every.training), len(few.training)) == (4000, 3)
    assert [p.id for p in few.training] == [p.id for p in every.training[:3]]
    assert len(few.held_out) == len(every.held_out) == 1000


@pytest.mark.parametrize(("num_prompts", "is_wrong"), [(-1, True), (0, False), (1, False)])
def test_a_negative_number_of_prompts_is_a_problem(num_prompts: int, is_wrong: bool) -> None:
    problems = DataConfig(path="rows", num_prompts=num_prompts).problems()
    assert problems == (["data.num_prompts=-1: set it to 0 (all) or more"] if is_wrong else [])
