import pytest

from data.types import Finish
from rollout.trees.config import Divergence, FallbackAt, FallbackFrom, TreeConfig
from rollout.trees.ending import closed_box, repeats
from rollout.trees.options import CANDIDATES, CUTS, deals, growth_of, text_tests
from tests.rollout.token_engine import letters
from tests.rollout.tree_builders import path, segment

SHORT = path(segment("s0", [1], logprob=-0.6), leaves=4)
LONG = path(segment("s0", [1] * 8, logprob=-0.01), segment("s1", [2] * 8, logprob=-0.6), leaves=4)
"""The long one is less likely in all, more likely by its mean; their last segments are alike."""


@pytest.mark.parametrize(
    ("name", "more"),
    [
        (Divergence.even, "neither"),
        (Divergence.unlikely, "long"),
        (Divergence.likely, "short"),
        (Divergence.unlikely_mean, "short"),
        (Divergence.likely_mean, "long"),
        (Divergence.unlikely_segment, "neither"),
        (Divergence.likely_segment, "neither"),
    ],
)
def test_name_says_which_path_gets_more(name: Divergence, more: str) -> None:
    short, long = deals(0.1)[name]([SHORT, LONG])
    assert more == ("short" if short > long else "long" if long > short else "neither")


def test_every_option_has_its_function() -> None:
    assert set(deals(1.0)) == set(Divergence)
    assert set(CANDIDATES) == set(FallbackFrom) and len(set(CANDIDATES.values())) == 3
    assert set(CUTS) == set(FallbackAt) and len(set(CUTS.values())) == 4


def test_text_tests_are_those_switched_on_answer_first() -> None:
    both = TreeConfig(stop_at_answer=True)
    assert list(text_tests(both)) == [closed_box, repeats]
    assert text_tests(TreeConfig()) == {repeats: Finish.REPETITION}
    assert text_tests(TreeConfig(stop_at_repetition=False)) == {}


def test_ending_reads_the_decoded_text() -> None:
    ending = growth_of(TreeConfig(stop_at_answer=True), letters).ending
    answered, open_ = (segment("s0", list(text.encode())) for text in (r"\boxed{1}", r"\boxed{1"))
    assert ending((answered,)) is Finish.STOP and ending((open_,)) is None
