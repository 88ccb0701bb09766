"""Votes, against numbers by hand and against a clock that lets the samples decode step by step."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.evaluate.formulas import pass_at_k
from rl.evaluate.voting import (
    MOST_SUBSETS,
    NO_ANSWER,
    ONE_SAMPLE,
    Ballots,
    Rule,
    Votes,
    decoding_columns,
    decoding_figures,
    short_m,
    subsets,
)

Sample = tuple[int, bool, int]
"""Tokens, whether it ended by itself, and the number of its answer."""

SAMPLES = st.lists(
    st.tuples(st.integers(1, 9), st.booleans(), st.integers(NO_ANSWER, 2)), min_size=1, max_size=6
)


def vote(samples: list[Sample], m: int) -> tuple[int, int, int]:
    """`short_m` of one problem: which is returned, depth, total."""
    tokens, finished, answers = (np.array([column]) for column in zip(*samples, strict=True))
    votes = short_m(tokens.astype(float), finished, answers, m)
    return int(votes.returned[0]), int(votes.depth[0]), int(votes.total[0])


def by_the_clock(samples: list[Sample], m: int) -> tuple[int, int, int]:
    """The same by stepping all samples a token at a time until m have finished, or all ended."""
    spent, step, finishers = [0] * len(samples), 0, list[int]()
    while len(finishers) < m and any(step < tokens for tokens, *_ in samples):
        step += 1
        for i, (tokens, _, _) in enumerate(samples):
            spent[i] += step <= tokens
        finishers += [i for i, (tokens, ended, _) in enumerate(samples) if ended and tokens == step]
    finishers = finishers[:m]
    given = [samples[i][2] for i in finishers if samples[i][2] != NO_ANSWER]
    if given:
        most = max(given.count(answer) for answer in given)
        returned = next(i for i in finishers if given.count(samples[i][2]) == most)
    else:
        never = min(range(len(samples)), key=lambda i: samples[i][0])
        returned = finishers[0] if finishers else never
    return returned, step, sum(spent)


def ballots(table: list[list[tuple[int, bool, int, float]]]) -> Ballots:
    """From (tokens, finished, answer, correct) of each sample of each problem."""
    tokens, finished, answers, correct = np.array(table, dtype=float).transpose(2, 0, 1)
    return Ballots(
        problems=tuple(f"p{row}" for row in range(len(table))),
        correct=correct,
        tokens=tokens,
        finished=finished == 1,
        answers=answers.astype(int),
    )


FOUR: list[Sample] = [(9, True, 0), (3, True, 1), (5, True, 0), (4, True, 2)]


def test_the_first_to_finish_is_returned_and_stops_the_others() -> None:
    assert vote(FOUR, 1) == (1, 3, 4 * 3)


def test_three_of_four_vote_and_a_tie_goes_to_the_shortest() -> None:
    """3, 4 and 5 tokens say 1, 2 and 0: a tie; the fourth had 5 of its 9 tokens by then."""
    assert vote(FOUR, 3) == (1, 5, 3 + 4 + 5 + 5)


def test_the_majority_waits_for_all_and_returns_its_shortest_sample() -> None:
    assert vote(FOUR, 4) == (2, 9, 9 + 3 + 5 + 4)


def test_of_two_answers_given_equally_often_the_one_with_the_shortest_sample_wins() -> None:
    assert vote([(8, True, 0), (2, True, 0), (3, True, 1), (4, True, 1)], 4)[0] == 1


def test_a_truncated_sample_never_finishes_even_where_its_text_holds_an_answer() -> None:
    samples = [(4, False, 0), (4, False, 0), (6, True, 1)]
    assert vote(samples, 1) == (2, 6, 4 + 4 + 6)
    assert vote(samples, 3) == (2, 6, 4 + 4 + 6)


def test_a_sample_without_an_answer_finishes_but_does_not_vote() -> None:
    samples = [(2, True, NO_ANSWER), (3, True, NO_ANSWER), (4, True, 0), (5, True, 0)]
    assert vote(samples, 3) == (2, 4, 2 + 3 + 4 + 4)
    assert vote(samples, 2) == (0, 3, 2 + 3 + 3 + 3)


def test_samples_of_equal_length_finish_in_the_order_in_which_they_were_drawn() -> None:
    assert vote([(3, True, 0), (3, True, 1), (3, True, 1)], 1) == (0, 3, 9)
    assert vote([(3, True, 0), (3, True, 1), (3, True, 1)], 3) == (1, 3, 9)


@given(SAMPLES, st.data())
def test_a_vote_is_what_stepping_the_samples_together_gives(
    samples: list[Sample], data: st.DataObject
) -> None:
    m = data.draw(st.integers(1, len(samples)))
    assert vote(samples, m) == by_the_clock(samples, m)


@given(SAMPLES)
def test_waiting_for_more_costs_more_and_all_of_them_cost_everything(
    samples: list[Sample],
) -> None:
    votes = [vote(samples, m) for m in range(1, len(samples) + 1)]
    assert [v[1] for v in votes] == sorted(v[1] for v in votes)
    assert [v[2] for v in votes] == sorted(v[2] for v in votes)
    assert votes[-1][1:] == (max(s[0] for s in samples), sum(s[0] for s in samples))


@given(SAMPLES.filter(lambda samples: len({s[0] for s in samples}) == len(samples)), st.data())
def test_the_order_of_samples_of_different_lengths_does_not_matter(
    samples: list[Sample], data: st.DataObject
) -> None:
    m = data.draw(st.integers(1, len(samples)))
    order = data.draw(st.permutations(range(len(samples))))
    returned, *cost = vote(samples, m)
    shuffled, *same = vote([samples[i] for i in order], m)
    assert (order[shuffled], same) == (returned, cost)


def test_all_choices_are_averaged_over_and_too_many_are_replaced_by_disjoint_ones() -> None:
    assert subsets(4, 2).tolist() == [list(pair) for pair in combinations(range(4), 2)]
    assert len(subsets(16, 5)) == comb(16, 5) == 4368 < MOST_SUBSETS
    assert subsets(33, 16).tolist() == [[*range(16)], [*range(16, 32)]]


TWO = ballots(
    [
        [(2, True, 0, 0.0), (3, True, 1, 1.0), (4, True, 1, 1.0)],
        [(5, True, 0, 1.0), (2, False, NO_ANSWER, 0.0), (6, True, 0, 1.0)],
    ]
)


def test_one_sample_has_the_mean_accuracy_and_tokens() -> None:
    columns = decoding_columns(TWO, ONE_SAMPLE)
    assert columns["accuracy"].numerator.tolist() == pytest.approx([2 / 3, 2 / 3])
    assert columns["total_tokens"].value == pytest.approx((9 / 3 + 13 / 3) / 2)
    assert columns["depth_tokens"].value == columns["total_tokens"].value


def test_first_finish_of_two_is_averaged_over_every_pair_by_hand() -> None:
    """p0: pairs 23, 24, 34 return 2, 2, 3. p1: 52, 56, 26 (the 2 truncated) return 5, 5, 6."""
    columns = decoding_columns(TWO, Rule(1, 2))
    assert columns["accuracy"].numerator.tolist() == pytest.approx([1 / 3, 1.0])
    assert columns["depth_tokens"].numerator.tolist() == pytest.approx([7 / 3, 16 / 3])
    assert columns["total_tokens"].numerator.tolist() == pytest.approx(
        [(4 + 4 + 6) / 3, (7 + 10 + 8) / 3]
    )


def test_a_vote_whose_sample_was_not_graded_is_left_out() -> None:
    nan = float("nan")
    some = ballots([[(2, True, 0, nan), (3, True, 1, 1.0)], [(2, True, 0, nan), (3, True, 0, nan)]])
    columns = decoding_columns(some, Rule(1, 2))
    assert columns["accuracy"].denominator.tolist() == [0, 0]
    assert "accuracy" not in decoding_figures(some, Rule(1, 2))
    alone = decoding_columns(some, ONE_SAMPLE)["accuracy"]
    assert (alone.value, alone.denominator.tolist()) == (1.0, [1, 0])


def test_the_gain_is_over_one_sample_on_the_same_problems() -> None:
    figures = decoding_figures(TWO, Rule(3, 3))
    assert figures["accuracy"].value == 1.0
    assert figures["accuracy_gain"].value == pytest.approx(1 / 3)
    assert (figures["accuracy_gain"].low, figures["accuracy_gain"].high) == pytest.approx(
        (1 / 3, 1 / 3)
    )


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.tuples(
            st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=n, max_size=n),
            st.integers(1, n),
        )
    )
)
def test_among_samples_of_equal_length_the_first_to_finish_is_a_fair_draw(
    drawn: tuple[list[tuple[int, bool]], int],
) -> None:
    """Every sample comes first equally often, so that it is right as often as any one is."""
    samples, k = drawn
    row = [(7, True, int(right), float(right)) for _, right in samples]
    fair = np.mean([right for *_, right in row])
    orders = [row[i:] + row[:i] for i in range(len(row))]
    found = decoding_columns(ballots(orders), Rule(1, k))["accuracy"].value
    assert found == pytest.approx(fair)


@given(SAMPLES.filter(lambda samples: len(samples) > 1), st.data())
def test_no_vote_is_right_more_often_than_some_sample_is(
    samples: list[Sample], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(samples)))
    m = data.draw(st.integers(1, k))
    row = [(n, ended, said, float(ended and said == 0)) for n, ended, said in samples]
    right = sum(correct for *_, correct in row)
    most = pass_at_k(len(row), int(right), k)
    assert decoding_columns(ballots([row]), Rule(m, k))["accuracy"].value <= most + 1e-12


def test_rules_are_named_as_in_the_papers() -> None:
    names = [Rule(*mk).name for mk in ((1, 1), (1, 8), (3, 8), (8, 8))]
    assert names == ["mean@1", "short-1@8", "short-3@8", "majority@8"]


def test_votes_of_many_problems_are_those_of_each() -> None:
    random = np.random.default_rng(0)
    tokens, answers = random.integers(1, 9, (20, 5)), random.integers(NO_ANSWER, 3, (20, 5))
    finished = random.random((20, 5)) < 0.8
    together = short_m(tokens.astype(float), finished, answers, 3)
    assert isinstance(together, Votes)
    for row in range(20):
        samples = list(zip(tokens[row], finished[row], answers[row], strict=True))
        assert tuple(int(part[row]) for part in together) == by_the_clock(samples, 3)
