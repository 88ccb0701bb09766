import pytest

from rollout.config import VllmConfig
from rollout.drafting.config import HistoryConfig


def test_defaults_have_no_problems():
    assert HistoryConfig().problems() == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"outputs_per_prompt": 0}, "rollout.history.outputs_per_prompt=0: set it to 1 or more"),
        ({"max_tokens": 0}, "rollout.history.max_tokens=0: set it to 1 or more"),
        ({"min_probability": 0.0}, "set 0 < rollout.history.min_probability <= 1"),
        ({"draft_length": 9}, "with rollout.num_speculative_tokens=8: no draft is longer"),
        ({"draft_length": -1}, "rollout.history.draft_length=-1: set it to 0"),
        ({"min_probability": 1.5}, "set 0 < rollout.history.min_probability <= 1"),
    ],
)
def test_problem_names_the_key_and_what_to_set(wrong, message):
    (problem,) = VllmConfig(history=HistoryConfig(**wrong)).problems()
    assert message in problem
