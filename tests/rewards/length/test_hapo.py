"""Golden values: lengths 400, 700, 1000, 1600, the third wrong, history 800."""

import json
from itertools import pairwise
from math import cos, pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.memory import PromptMemory
from rewards.length.hapo import (
    HapoConfig,
    HapoHistory,
    HapoShape,
    build_reward,
    hapo_cosine,
    hapo_linear,
    mean,
    shortest,
)
from tests.rewards.groups import group, verdicts

LENGTHS, CORRECT = [400, 700, 1000, 1600], [True, True, False, True]

answers = st.lists(st.tuples(st.integers(1, 9999), st.booleans()), min_size=1, max_size=8)
histories = st.floats(1, 9999)


def remembering(h=800, count=1):
    memory = PromptMemory()
    memory.update("p", {"hapo_length": h, "hapo_count": count})
    return memory


def totals(memory, lengths, correct, name="p", **options):
    reward = build_reward(HapoConfig(**options), memory)
    return [s.total for s in reward([group(name, lengths)], [verdicts(correct)])[0]]


def test_cosine_gives_the_golden_reward():
    rewards = totals(remembering(), LENGTHS, CORRECT)
    assert rewards == pytest.approx([1.7071, 1.1951, -0.3827, 0.3], abs=5e-5)


def test_linear_gives_the_reward_that_is_worked_out_by_hand():
    rewards = totals(remembering(), LENGTHS, CORRECT, shape=HapoShape.linear)
    assert rewards == pytest.approx([1.5, 1.125, -0.15, 0.3], abs=1e-9)


def test_without_a_history_correctness_is_all_that_counts():
    assert totals(PromptMemory(), LENGTHS, CORRECT) == [1.0, 1.0, 0.0, 1.0]
    linear = {"shape": HapoShape.linear, "history": HapoHistory.mean}
    assert totals(PromptMemory(), LENGTHS, CORRECT, **linear) == [1.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("n", "right", "wrong"),
    [
        (50, cos(pi / 4), 0.0),
        (100, 0.0, 0.0),
        (140, cos(0.7 * pi), cos(0.7 * pi)),
        (200, -0.7, -1.0),
        (201, -0.7, -1.0),
        (500, -0.7, -1.0),
    ],
)
def test_cosine_falls_from_one_to_its_floor_at_twice_the_history(n, right, wrong):
    terms = hapo_cosine([n, n], [True, False], 100)
    assert terms == pytest.approx([right, wrong], abs=1e-12)


@pytest.mark.parametrize(
    ("n", "right", "wrong"),
    [
        (50, 0.5, 0.0),
        (99, 0.01, 0.0),
        (100, 0.0, 0.0),
        (110, 0.0, 0.0),
        (111, -0.01, -0.01),
        (180, -0.7, -0.7),
        (190, -0.7, -0.8),
        (210, -0.7, -1.0),
        (300, -0.7, -1.0),
    ],
)
def test_linear_tolerates_a_tenth_more_than_the_history(n, right, wrong):
    assert hapo_linear([n, n], [True, False], 100) == pytest.approx([right, wrong], abs=1e-12)


@given(answers, histories, st.sampled_from([hapo_cosine, hapo_linear]))
def test_a_correct_answer_is_always_worth_more_than_a_wrong_one(group_, h, shape):
    lengths, correct = zip(*group_, strict=True)
    for ok, term in zip(correct, shape(lengths, correct, h), strict=True):
        assert 0.3 <= ok + term <= 2 if ok else -1 <= term <= 0


@given(st.lists(st.integers(1, 9999), min_size=1, max_size=8), histories, st.booleans())
def test_a_longer_answer_never_gets_more(lengths, h, ok):
    ordered = sorted(lengths)
    for shape in (hapo_cosine, hapo_linear):
        terms = shape(ordered, [ok] * len(ordered), h)
        assert all(later <= earlier + 1e-12 for earlier, later in pairwise(terms))


@given(answers, histories, st.sampled_from([hapo_cosine, hapo_linear]))
def test_a_term_depends_on_its_own_answer_alone(group_, h, shape):
    lengths, correct = zip(*group_, strict=True)
    assert shape(lengths, correct, h) == [shape([n], [ok], h)[0] for n, ok in group_]


@pytest.mark.parametrize("shape", [hapo_cosine, hapo_linear])
def test_as_many_lengths_as_verdicts_are_needed(shape):
    with pytest.raises(ValueError, match="zip"):
        shape([9, 5], [False], 10)


def test_an_update_is_scored_against_the_history_before_it():
    memory = remembering(h=800)
    assert totals(memory, [400], [True])[0] == pytest.approx(1 + cos(pi / 4))
    assert memory.get("p") == {"hapo_length": 400, "hapo_count": 2}
    assert totals(memory, [400], [True])[0] == pytest.approx(1.0)


def test_groups_of_one_prompt_in_one_update_do_not_see_each_other():
    memory = PromptMemory()
    reward = build_reward(HapoConfig(), memory)
    groups = [group("p", [400]), group("p", [200]), group("q", [900])]
    scores = reward(groups, [verdicts([True])] * 3)
    assert [row[0].total for row in scores] == [1.0, 1.0, 1.0]
    assert memory.get("p") == {"hapo_length": 200, "hapo_count": 2}
    assert memory.get("q") == {"hapo_length": 900, "hapo_count": 1}


def test_an_answer_that_was_cut_far_beyond_the_history_loses_everything():
    assert totals(remembering(h=100), [512], [False]) == [-1.0]


def test_only_correct_answers_are_remembered():
    memory = PromptMemory()
    totals(memory, [100, 400, 50, 300], [False, True, False, True])
    assert memory.get("p") == {"hapo_length": 300, "hapo_count": 2}
    totals(memory, [20], [False])
    assert memory.get("p") == {"hapo_length": 300, "hapo_count": 2}
    totals(memory, [20], [False], name="q")
    assert "q" not in memory


def test_wrong_answers_of_an_unsolved_prompt_have_no_length_term():
    memory = PromptMemory()
    for _ in range(2):
        assert totals(memory, [100, 5000], [False, False]) == [0.0, 0.0]


def test_the_mean_weighs_every_correct_answer_alike():
    memory = PromptMemory()
    totals(memory, [100, 300], [True, True], history=HapoHistory.mean)
    assert memory.get("p") == {"hapo_length": 200.0, "hapo_count": 2}
    totals(memory, [500, 7], [True, False], history=HapoHistory.mean)
    assert memory.get("p") == {"hapo_length": 300.0, "hapo_count": 3}


@given(st.lists(st.lists(st.integers(1, 9999), min_size=1, max_size=5), min_size=1, max_size=5))
def test_histories_are_those_of_all_lengths_at_once(visits):
    h_shortest = h_mean = 0.0
    count = 0
    for lengths in visits:
        h_shortest, h_mean = shortest(h_shortest, count, lengths), mean(h_mean, count, lengths)
        count += len(lengths)
    seen = [n for lengths in visits for n in lengths]
    assert h_shortest == min(seen)
    assert h_mean == pytest.approx(sum(seen) / len(seen))


def test_the_weight_scales_the_length_term_alone():
    half = totals(remembering(), LENGTHS, CORRECT, weight=0.5)
    whole = totals(remembering(), LENGTHS, CORRECT)
    assert half == pytest.approx([c + (r - c) / 2 for c, r in zip(CORRECT, whole, strict=True)])


@pytest.mark.parametrize("history", HapoHistory)
def test_a_restored_history_scores_as_the_one_that_was_saved(history):
    original, restored = PromptMemory(), PromptMemory()
    totals(original, [120, 70, 80], [True, True, False], history=history)
    restored.load(json.loads(json.dumps(original.state())))
    for lengths in ([90, 40], [60, 200]):
        assert totals(restored, lengths, [True, False], history=history) == totals(
            original, lengths, [True, False], history=history
        )
    assert restored.state() == original.state()


@pytest.mark.parametrize("weight", [0, 1.01, -0.5])
def test_weights_that_let_wrong_answers_win_are_problems(weight):
    (problem,) = HapoConfig(weight=weight).problems()
    assert problem.startswith(f"reward.weight={weight}: set 0 < reward.weight <= 1")
    assert HapoConfig().problems() == []
