"""Who is chosen over whom, and why a problem gives no pair."""

from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.evaluate.evaluation import Judged
from rl.offline.pairs import (
    ALL_EQUAL,
    ALL_WRONG,
    BUILDERS,
    LONG_WRONG,
    NOT_LONGER,
    SHORT_WRONG,
    UNGRADED,
    Pairing,
    adar1_code_gain,
    adar1_code_pairs,
    adar1_pairs,
    build_pairs,
    concise_pairs,
    prefers_long,
    think_po_pairs,
)
from tests.rl.offline.answers import judged, side

RIGHT, WRONG = True, False
SIDES = st.lists(st.tuples(st.integers(3, 9), st.booleans()), min_size=1, max_size=6)


def named(found: Pairing) -> list[tuple[str, str, str]]:
    assert not isinstance(found, str), found
    return [(p.level, p.chosen.completion.id, p.rejected.completion.id) for p in found]


def reason(found: Pairing) -> str:
    assert isinstance(found, str)
    return found


def test_half_a_sample_more_is_what_long_must_be_better_by() -> None:
    assert prefers_long(0.5, 0.25, 4)
    assert not prefers_long(0.5, 0.5, 4)
    assert not prefers_long(0.25, 0.5, 4)
    assert not prefers_long(0.625, 0.5, 4), "1/8 = 1/(2K) exactly is not more"


def test_the_released_gain_by_hand() -> None:
    # d = 1 - 0.5 - 1/8 = 3/8; rho = (30 - 10)/10 = 2.
    assert adar1_code_gain(1.0, 0.5, 30, 10, 4) == pytest.approx(3 / 16)
    # d = 0.5 - 1 - 1/8 = -5/8, times rho / 10 = 0.2.
    assert adar1_code_gain(0.5, 1.0, 30, 10, 4) == pytest.approx(-0.125)
    assert adar1_code_gain(1.0, 0.5, 10, 10, 4) == inf
    assert adar1_code_gain(0.5, 0.5, 10, 10, 4) == 0
    assert adar1_code_gain(0.625, 0.5, 10, 10, 4) == 0, "exactly the margin is no gain"


@given(st.integers(0, 12), st.integers(0, 12), st.floats(1, 1e4), st.floats(1, 1e4))
def test_the_released_gain_prefers_as_the_paper_does_where_long_is_longer(
    right: int, right_short: int, tokens: float, more: float
) -> None:
    accuracies = right / 12, right_short / 12
    gain = adar1_code_gain(*accuracies, tokens + more, tokens, 12)
    assert (gain > 0) == prefers_long(*accuracies, 12)


def test_the_released_gain_turns_round_where_long_is_shorter() -> None:
    assert prefers_long(1.0, 0.0, 2)
    assert adar1_code_gain(1.0, 0.0, 5, 10, 2) < 0
    long, short = side("l", [(5, RIGHT), (5, RIGHT)]), side("s", [(9, WRONG), (8, WRONG)])
    assert {chosen[0] for _, chosen, _ in named(adar1_pairs(long, short, Random(0)))} == {"l"}
    assert {chosen[0] for _, chosen, _ in named(adar1_code_pairs(long, short, Random(0)))} == {"s"}


def test_the_better_long_model_is_chosen_over_the_short_ones_wrong_answers() -> None:
    long = side("l", [(9, RIGHT), (6, RIGHT), (8, WRONG), (7, RIGHT)])
    short = side("s", [(3, RIGHT), (4, WRONG), (3, WRONG), (5, WRONG)])
    found = named(adar1_pairs(long, short, Random(0)))
    between = [(chosen, rejected) for level, chosen, rejected in found if level == "group"]
    assert len(between) == len(set(between)) == 4
    assert set(between) <= {(c, r) for c in ("l0", "l1", "l3") for r in ("s1", "s2", "s3")}
    # Shortest correct over the two longest correct of the same model; l2 is wrong, so out of it.
    assert found[4:] == [("instance", "l1", "l3"), ("instance", "l1", "l0")]


def test_where_long_is_no_better_short_is_chosen_over_all_of_long() -> None:
    long, short = side("l", [(9, RIGHT), (8, RIGHT)]), side("s", [(3, RIGHT), (3, RIGHT)])
    found = named(adar1_pairs(long, short, Random(0)))
    assert sorted(found) == [("group", c, r) for c in ("s0", "s1") for r in ("l0", "l1")], (
        "s0 and s1 are of one length: neither is preferred within their model"
    )


def test_no_completion_is_paired_with_itself_or_its_twin() -> None:
    twin = [judged("same", 5, RIGHT)]
    assert reason(adar1_pairs(twin, twin, Random(0))) == ALL_EQUAL
    lone = side("l", [(5, RIGHT)])
    assert named(adar1_pairs(lone, side("s", [(3, WRONG)]), Random(0))) == [("group", "l0", "s0")]


def test_long_over_short_and_short_over_long() -> None:
    long = side("l", [(9, RIGHT), (12, WRONG), (7, RIGHT)])
    short = side("s", [(3, WRONG), (5, RIGHT), (4, RIGHT)])
    assert named(think_po_pairs(long, short, Random(0))) == [("length", "l0", "s2")]
    assert named(concise_pairs(long, short, Random(0))) == [("length", "s2", "l0")]


@pytest.mark.parametrize("build", [think_po_pairs, concise_pairs])
@pytest.mark.parametrize(
    ("long", "short", "why"),
    [
        ([(9, WRONG)], [(3, WRONG)], ALL_WRONG),
        ([(9, WRONG)], [(3, RIGHT)], LONG_WRONG),
        ([(9, RIGHT)], [(3, WRONG)], SHORT_WRONG),
        ([(4, RIGHT)], [(4, RIGHT)], NOT_LONGER),
        ([(3, RIGHT)], [(4, RIGHT)], NOT_LONGER),
    ],
)
def test_what_is_missing_is_said(build, long, short, why) -> None:  # type: ignore[no-untyped-def]
    assert reason(build(side("l", long), side("s", short), Random(0))) == why


def test_every_problem_is_accounted_for() -> None:
    long = [
        side("a", [(9, RIGHT)], "a"), side("b", [(9, WRONG)], "b"),
        side("c", [(9, WRONG)], "c"), side("d", [(9, None)], "d"),
    ]  # fmt: skip
    short = [
        side("A", [(3, RIGHT)], "a"), side("B", [(3, WRONG)], "b"),
        side("C", [(3, WRONG)], "c"), side("D", [(3, RIGHT)], "d"),
    ]  # fmt: skip
    built = build_pairs(long, short, concise_pairs, seed=0)
    assert [(p.chosen.completion.id, p.rejected.completion.id) for p in built.pairs] == [
        ("A0", "a0")
    ]
    assert built.without == {ALL_WRONG: 2, UNGRADED: 1}
    assert (built.num_problems, built.num_paired) == (4, 1)


def test_an_answer_without_a_verdict_is_neither_right_nor_wrong() -> None:
    long, short = side("l", [(9, RIGHT), (5, None)]), side("s", [(3, RIGHT), (4, None)])
    [pair] = build_pairs([long], [short], adar1_pairs, seed=0).pairs
    assert (pair.chosen.completion.id, pair.rejected.completion.id) == ("s0", "l0")


def test_the_pairs_of_a_problem_do_not_depend_on_the_other_problems() -> None:
    def problem(name: str) -> tuple[list[Judged], list[Judged]]:
        return (
            side("l", [(9 + i, RIGHT) for i in range(6)], name),
            side("s", [(3, RIGHT)] * 6, name),
        )

    both = [problem("p"), problem("q")]
    together = build_pairs([b[0] for b in both], [b[1] for b in both], adar1_pairs, seed=1)
    alone = build_pairs([both[1][0]], [both[1][1]], adar1_pairs, seed=1)
    assert named(list(together.pairs[-len(alone.pairs) :])) == named(list(alone.pairs))
    other_seed = build_pairs([both[1][0]], [both[1][1]], adar1_pairs, seed=2)
    assert named(list(other_seed.pairs)) != named(list(alone.pairs))


@given(SIDES, SIDES, st.integers(0, 3))
def test_properties_of_all_builders(long_answers, short_answers, seed) -> None:  # type: ignore[no-untyped-def]
    long, short = side("l", long_answers), side("s", short_answers)
    right = [j for j in [*long, *short] if j.verdict.correct]
    for name, build in BUILDERS.items():
        found = build(long, short, Random(seed))
        if isinstance(found, str):
            continue
        assert right, "no problem that nobody solved gives a pair"
        for pair in found:
            chosen, rejected = pair.chosen.completion, pair.rejected.completion
            assert chosen.id != rejected.id
            if name != "adar1_code":
                assert pair.chosen.verdict.correct
            if pair.level == "instance":
                assert chosen.id[0] == rejected.id[0]
                assert chosen.num_tokens < rejected.num_tokens
            else:
                assert chosen.id[0] != rejected.id[0]
        levels = [pair.level for pair in found]
        assert levels.count("group") <= 4
        assert levels.count("instance") <= 2
    turned = think_po_pairs(long, short, Random(seed)), concise_pairs(long, short, Random(seed))
    if isinstance(turned[0], str):
        assert turned[0] == turned[1]
    else:
        [one], [two] = turned
        assert (one.chosen, one.rejected) == (two.rejected, two.chosen)
