"""The controller on a virtual engine: near the best fixed length, and off where drafts are bad."""

import numpy as np
import pytest

from rollout.drafting.acceptance_model import Proposal
from rollout.drafting.controller import Controller, Outcome
from tests.rollout.drafting.virtual_engine import (
    MOST_DRAFTS,
    Planted,
    best_fixed_rate,
    rate,
    run,
)


def memory_bound(rows, drafts):
    """A step is flat until 64 tokens, then linear: a GPU."""
    return 0.01 * max(1.0, (rows + drafts) / 64)


def compute_bound(rows, drafts):
    """Every token costs: a few CPU cores."""
    return 0.004 + 2e-4 * rows + 1e-4 * drafts


def sharp(log_odds):
    """Accepts 0.82 of the drafts, and the drafter knows which."""
    return 1 / (1 + np.exp(-(log_odds + 0.8)))


def vague(log_odds):
    """Accepts 0.56 of the drafts; the drafter's log-odds say less."""
    return 1 / (1 + np.exp(-(0.8 * log_odds - 0.5)))


def useless(log_odds):
    return np.full(len(log_odds), 0.01)


PLANTED = [
    Planted(acceptance=vague, seconds=memory_bound),
    Planted(acceptance=sharp, seconds=compute_bound),
]


def share_of_best_fixed(planted, rows):
    """The controller's rate after learning, over that of the best fixed length."""
    num_steps = 400 if rows >= 8 else 2000
    rng = np.random.default_rng(rows)
    steps = run(Controller(MOST_DRAFTS), planted, rows=rows, num_steps=num_steps, rng=rng)
    return rate(steps[num_steps // 2 :]) / best_fixed_rate(planted, rows)


@pytest.mark.parametrize("planted", PLANTED, ids=["memory bound", "compute bound"])
@pytest.mark.parametrize("rows", [1, 3, 17, 50, 256])
def test_controller_comes_within_5_percent_of_the_best_fixed_length(planted, rows):
    assert share_of_best_fixed(planted, rows) > 0.95


@pytest.mark.long
@pytest.mark.parametrize("planted", PLANTED, ids=["memory bound", "compute bound"])
def test_controller_comes_within_5_percent_of_the_best_fixed_length_at_every_batch(planted):
    shares = {rows: share_of_best_fixed(planted, rows) for rows in range(1, 257)}
    assert {rows: share for rows, share in shares.items() if share <= 0.95} == {}


@pytest.mark.parametrize("planted", PLANTED, ids=["memory bound", "compute bound"])
def test_what_the_controller_expects_comes_true(planted):
    rng = np.random.default_rng(3)
    steps = run(Controller(MOST_DRAFTS), planted, rows=17, num_steps=400, rng=rng)[200:]
    foreseen = sum(step.foreseen_tokens for step in steps)
    assert foreseen == pytest.approx(sum(step.expected_tokens for step in steps), rel=0.05)


def test_rows_that_are_gone_were_expected_to_accept_nothing():
    controller = Controller(MOST_DRAFTS)
    assert (
        controller.observe(Outcome(accepted=np.zeros(0, int), seconds=1.0, prompt_tokens=0)) == 0.0
    )
    expected = []
    for gone in (0, 1, 2):
        measured(controller, [2, 2], 9, seconds=lambda n: 1.0)
        controller.decide(proposal_of([2, 2]))
        accepted = np.array([-1] * gone + [2] * (2 - gone))
        outcome = Outcome(accepted=accepted, seconds=1.0, prompt_tokens=0)
        expected.append(controller.observe(outcome))
    assert expected[0] > expected[1] > expected[2] == 0.0


@pytest.mark.parametrize("rows", [1, 4, 64])
def test_a_drafter_broken_from_the_start_is_off_within_50_steps(rows):
    planted = Planted(acceptance=useless, seconds=compute_bound)
    rng = np.random.default_rng(0)
    steps = run(Controller(MOST_DRAFTS), planted, rows=rows, num_steps=250, rng=rng)
    verified = np.array([step.verified for step in steps])
    assert np.count_nonzero(verified[:50]) >= 8
    assert np.count_nonzero(verified[50:]) <= 4


@pytest.mark.parametrize("rows", [1, 4, 64])
def test_a_drafter_that_breaks_later_is_off_within_50_steps(rows):
    controller, rng = Controller(MOST_DRAFTS), np.random.default_rng(0)
    works = Planted(acceptance=sharp, seconds=compute_bound)
    steps = run(controller, works, rows=rows, num_steps=300, rng=rng)
    assert np.mean([step.verified > 0 for step in steps[50:]]) > 0.9
    broken = Planted(acceptance=useless, seconds=compute_bound)
    steps = run(controller, broken, rows=rows, num_steps=250, rng=rng)
    assert sum(step.verified > 0 for step in steps[50:]) <= 4


def test_a_drafter_that_is_mended_is_used_again():
    controller, rng = Controller(MOST_DRAFTS), np.random.default_rng(0)
    run(
        controller,
        Planted(acceptance=useless, seconds=compute_bound),
        rows=32,
        num_steps=200,
        rng=rng,
    )
    controller.weights_changed()
    works = Planted(acceptance=sharp, seconds=compute_bound)
    steps = run(controller, works, rows=32, num_steps=300, rng=rng)
    assert np.mean([step.verified > 0 for step in steps[150:]]) > 0.9


def proposal_of(lengths):
    return Proposal(
        lengths=np.array(lengths),
        probabilities=np.full(sum(lengths), 0.9),
        match_lengths=np.full(len(lengths), 3),
        ages=np.zeros(len(lengths)),
        draft_seconds=0.0,
    )


def measured(controller, lengths, num_steps, *, seconds, prompt_tokens=0):
    """Steps in which everything verified is accepted; the last step's kept counts."""
    for _ in range(num_steps):
        kept = controller.decide(
            proposal_of(lengths if controller.wants_drafts(len(lengths)) else [0] * len(lengths))
        )
        outcome = Outcome(
            accepted=kept, seconds=seconds(int(kept.sum())), prompt_tokens=prompt_tokens
        )
        controller.observe(outcome)
    return kept


def test_plain_steps_come_first_and_then_the_cold_start():
    controller = Controller(MOST_DRAFTS)
    kept = [measured(controller, [9, 2], 1, seconds=lambda n: 1.0).tolist() for _ in range(11)]
    assert kept[:8] == [[0, 0]] * 8
    # 7, then 9 capped to 8 and halved, then 8 halved twice; a row never gives more than it has
    assert kept[8:] == [[7, 2], [4, 2], [2, 2]]


def test_free_drafts_are_all_verified():
    kept = measured(Controller(MOST_DRAFTS), [9, 2], 20, seconds=lambda n: 1.0)
    assert kept.tolist() == [9, 2]


def test_prompt_tokens_are_timed_as_drafts():
    """A step of 8 rows takes 1 s, and 0.108 s for each token beside theirs, 5 of them of a prompt.

    32 accepted drafts alone give 40 tokens in 4.46 s, 9 tokens/s against 8 without drafts; with the
    prompt they take 5 s, which looks like 8 tokens/s.
    """
    controller, lengths = Controller(MOST_DRAFTS), [4] * 8
    measured(controller, lengths, 8, seconds=lambda n: 1.0)
    kept = measured(controller, lengths, 60, seconds=lambda n: 1.54 + 0.108 * n, prompt_tokens=5)
    assert kept.tolist() == lengths


def test_prefill_heavy_steps_hold_nothing_before_the_first_choice():
    controller = Controller(MOST_DRAFTS)
    measured(controller, [9, 2], 16, seconds=lambda n: 1.0)
    measured(controller, [0, 0], 1, seconds=lambda n: 1.0, prompt_tokens=20)
    assert measured(controller, [9, 2], 1, seconds=lambda n: 1.0).tolist() == [9, 2]


def test_prefill_heavy_steps_freeze_the_budget_and_are_not_timed():
    controller = Controller(MOST_DRAFTS)
    measured(controller, [9, 2], 20, seconds=lambda n: 1.0)
    kept = measured(controller, [9, 2], 70, seconds=lambda n: 100.0 * n, prompt_tokens=20)
    assert kept.tolist() == [9, 2]


def test_drafting_that_does_not_pay_for_many_rows_is_used_for_few():
    """64 rows cost as much for each draft as for each token; a row alone drafts for nothing."""
    planted = Planted(
        acceptance=vague, seconds=lambda rows, drafts: 0.01 if rows == 1 else 1e-3 * (rows + drafts)
    )
    controller, rng = Controller(MOST_DRAFTS), np.random.default_rng(0)

    def drafting_share(rows):
        steps = run(controller, planted, rows=rows, num_steps=60, rng=rng)
        return np.mean([step.verified > 0 for step in steps])

    drafting_share(64), drafting_share(1)
    assert drafting_share(64) < 0.1 and drafting_share(1) > 0.9
