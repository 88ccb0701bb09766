"""Golden values: alpha 3e-4; L1-Max at n_gold 2000 for 1000, 2000, 3000 and 4000 tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config import BudgetKind
from data.types import Budget
from rewards.length.lcpo import (
    LcpoDualConfig,
    LcpoExactConfig,
    LcpoMaxCodeConfig,
    LcpoMaxConfig,
    build_dual,
    build_exact,
    build_max,
    build_max_code,
    lcpo_exact_terms,
    lcpo_max_code_terms,
    lcpo_max_terms,
)
from tests.rewards.groups import group, verdicts

EXACT = Budget(kind=BudgetKind.EXACT, amount=1000)
MAX = Budget(kind=BudgetKind.MAX, amount=2000)
LENGTHS = [1000, 2000, 3000, 4000]
RIGHT = [True] * 4

lengths_of = st.lists(st.integers(1, 8000), min_size=1, max_size=8)
budgets = st.integers(1, 8000)


@pytest.mark.parametrize(
    ("correct", "n_gold", "n", "reward"),
    [(1, 1000, 1000, 1.0), (1, 1000, 2000, 0.7), (0, 1000, 1000, 0.0), (0, 3600, 512, -0.9264)],
)
def test_exact_gives_the_golden_reward(correct, n_gold, n, reward):
    (term,) = lcpo_exact_terms([n], n_gold, 3e-4)
    assert correct + term == pytest.approx(reward, abs=1e-12)


def test_exact_is_unbounded_below():
    assert lcpo_exact_terms([30_000], 100, 3e-4) == pytest.approx([-8.97])


def test_max_gives_the_golden_reward_of_the_paper():
    terms = lcpo_max_terms(LENGTHS, RIGHT, 2000, 3e-4, 0.5)
    assert [1 + term for term in terms] == pytest.approx([0.8, 0.5, 0.2, 0.0], abs=1e-12)


def test_max_gives_the_golden_reward_of_the_released_code():
    terms = lcpo_max_code_terms(LENGTHS, RIGHT, 2000, 3e-4)
    assert [1 + term for term in terms] == pytest.approx([0.65, 0.5, 0.35, 0.2], abs=1e-12)


def test_max_stays_between_nothing_and_a_correct_answer():
    """alpha 0.01: clipped 50 tokens on either side of the budget, in the code 100 tokens."""
    lengths = [99, 150, 151, 200, 249, 250, 301]
    paper = [1 + t for t in lcpo_max_terms(lengths, [True] * 7, 200, 0.01, 0.5)]
    assert paper == pytest.approx([1, 1, 0.99, 0.5, 0.01, 0, 0], abs=1e-12)
    code = [1 + t for t in lcpo_max_code_terms(lengths, [True] * 7, 200, 0.01)]
    assert code == pytest.approx([1, 0.75, 0.745, 0.5, 0.255, 0.25, 0], abs=1e-12)


def test_delta_is_what_an_answer_of_exactly_the_budget_is_worth():
    assert lcpo_max_terms([200], [True], 200, 0.01, 0.8) == pytest.approx([-0.2])


def test_as_many_lengths_as_verdicts_are_needed():
    with pytest.raises(ValueError, match="zip"):
        lcpo_max_terms([9, 5], [False], 10, 3e-4, 0.5)
    with pytest.raises(ValueError, match="zip"):
        lcpo_max_code_terms([9, 5], [False], 10, 3e-4)


@given(lengths_of, budgets)
def test_exact_is_symmetric_about_the_budget(lengths, n_gold):
    mirrored = [2 * n_gold - n for n in lengths]
    assert lcpo_exact_terms(lengths, n_gold, 3e-4) == lcpo_exact_terms(mirrored, n_gold, 3e-4)


@given(lengths_of, budgets, st.floats(1e-5, 0.1))
def test_max_never_pays_a_wrong_answer_or_more_than_correctness(lengths, n_gold, alpha):
    for terms in (
        lcpo_max_terms(lengths, [True] * len(lengths), n_gold, alpha, 0.5),
        lcpo_max_code_terms(lengths, [True] * len(lengths), n_gold, alpha),
    ):
        assert all(-1 <= term <= 0 for term in terms)
    wrong = [False] * len(lengths)
    assert set(lcpo_max_terms(lengths, wrong, n_gold, alpha, 0.5)) == {0.0}
    assert set(lcpo_max_code_terms(lengths, wrong, n_gold, alpha)) == {0.0}


@given(lengths_of, budgets)
def test_under_max_a_longer_correct_answer_never_gets_more(lengths, n_gold):
    ordered, right = sorted(lengths), [True] * len(lengths)
    for terms in (
        lcpo_max_terms(ordered, right, n_gold, 3e-4, 0.5),
        lcpo_max_code_terms(ordered, right, n_gold, 3e-4),
    ):
        assert terms == sorted(terms, reverse=True)


@given(st.lists(st.tuples(st.integers(1, 8000), st.booleans()), min_size=1, max_size=8), budgets)
def test_a_term_depends_on_its_own_answer_alone(answers, n_gold):
    lengths, correct = zip(*answers, strict=True)
    together = lcpo_max_terms(lengths, correct, n_gold, 3e-4, 0.5)
    assert together == [lcpo_max_terms([n], [ok], n_gold, 3e-4, 0.5)[0] for n, ok in answers]
    assert lcpo_exact_terms(lengths, n_gold, 3e-4) == [
        lcpo_exact_terms([n], n_gold, 3e-4)[0] for n in lengths
    ]


def test_a_group_without_a_correct_answer_is_ranked_by_exact_and_not_by_max():
    wrong = [verdicts([False, False])]
    exact = build_exact(LcpoExactConfig())([group("a", [1000, 2000], EXACT)], wrong)
    assert [s.total for s in exact[0]] == pytest.approx([0.0, -0.3])
    for build, config in ((build_max, LcpoMaxConfig()), (build_max_code, LcpoMaxCodeConfig())):
        scores = build(config)([group("a", [1000, 2000], MAX)], wrong)
        assert [s.total for s in scores[0]] == [0.0, 0.0]


def test_equal_lengths_leave_correctness_and_a_constant():
    scores = build_exact(LcpoExactConfig())(
        [group("a", [2000, 2000], EXACT)], [verdicts([True, False])]
    )[0]
    assert scores[0].total - scores[1].total == pytest.approx(1.0)


def test_an_answer_that_was_cut_near_its_budget_loses_little():
    """L1's cap is 4096 and its longest budget 4000: leaving no answer costs 0.03 beside c."""
    budget = Budget(kind=BudgetKind.EXACT, amount=4000)
    scores = build_exact(LcpoExactConfig())([group("a", [4096], budget)], [verdicts([False])])
    assert scores[0][0].total == pytest.approx(-0.0288)


def test_rewards_take_alpha_and_delta_from_the_recipe():
    groups, right = [group("a", [1100], EXACT)], [verdicts([True])]
    assert build_exact(LcpoExactConfig(alpha=0.002))(groups, right)[0][0].total == (
        pytest.approx(0.8)
    )
    groups = [group("a", [2100], MAX)]
    scored = build_max(LcpoMaxConfig(alpha=0.002, delta=0.9))(groups, right)[0][0]
    assert scored.parts == pytest.approx({"correct": 1.0, "length": -0.3})
    scored = build_max_code(LcpoMaxCodeConfig(alpha=0.002))(groups, right)[0][0]
    assert scored.total == pytest.approx(0.4)


def test_dual_scores_each_prompt_by_what_it_asks_for():
    groups = [group("a", [2000], EXACT), group("b", [3000], MAX), group("c", [2000], EXACT)]
    judged = [verdicts([True]), verdicts([True]), verdicts([False])]
    scores = build_dual(LcpoDualConfig())(groups, judged)
    assert [row[0].total for row in scores] == pytest.approx([0.7, 0.2, -0.3])


def test_each_reward_says_which_budgets_it_scores():
    exact, maximum = BudgetKind.EXACT, BudgetKind.MAX
    assert LcpoExactConfig().scored_budgets() == {exact}
    assert LcpoMaxConfig().scored_budgets() == {maximum}
    assert LcpoMaxCodeConfig().scored_budgets() == {maximum}
    assert LcpoDualConfig().scored_budgets() == {exact, maximum}


def test_slopes_and_worths_outside_their_range_are_problems():
    assert LcpoExactConfig(alpha=0).problems() == ["reward.alpha=0: set reward.alpha>0"]
    assert LcpoDualConfig(alpha=-1, delta=0).problems() == [
        "reward.alpha=-1: set reward.alpha>0",
        "reward.delta=0: set 0 < reward.delta <= 1",
    ]
    assert len(LcpoMaxConfig(delta=1.5).problems()) == 1
    assert LcpoMaxConfig(delta=1).problems() == []
    assert LcpoMaxCodeConfig().problems() == []
