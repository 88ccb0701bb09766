import pytest

from data.types import Verdict
from rl.algorithms.dynamic_sampling import outcomes_differ
from tests.rewards.groups import group


@pytest.mark.parametrize(
    ("outcomes", "kept"),
    [
        ([True, False], True),
        ([False, False, True], True),
        ([True, True], False),
        ([False, False], False),
        ([True, None], False),
        ([False, None], False),
        ([True, False, None], True),
        ([], False),
    ],
)
def test_a_group_is_kept_when_some_are_right_and_some_wrong(
    outcomes: list[bool | None], kept: bool
) -> None:
    verdicts = [Verdict(correct=outcome) for outcome in outcomes]
    assert outcomes_differ(group("p", [1] * len(verdicts)), verdicts) is kept
