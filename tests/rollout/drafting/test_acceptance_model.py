import numpy as np
import pytest

from rollout.drafting.acceptance_model import CAPACITY, REFIT_EVERY, AcceptanceModel, Proposal


def proposal_of(probabilities, lengths, age=0.0):
    return Proposal(
        lengths=np.array(lengths),
        probabilities=np.array(probabilities, dtype=float),
        match_lengths=np.zeros(len(lengths), dtype=int),
        ages=np.full(len(lengths), age),
        draft_seconds=0.0,
    )


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_before_evidence_half_the_log_odds_and_a_small_doubt():
    predicted = AcceptanceModel(4).predict(proposal_of([0.5, 0.8], [2]))
    # log(0.8 / 0.2) = log 4
    np.testing.assert_allclose(predicted, [sigmoid(-0.2), sigmoid(0.5 * np.log(4) - 0.2)])


def test_certainty_is_not_taken_at_its_word():
    predicted = AcceptanceModel(4).predict(proposal_of([1.0, 0.0], [1, 1]))
    np.testing.assert_allclose(predicted, sigmoid(0.5 * np.log([99, 1 / 99]) - 0.2))


def test_planted_acceptance_is_learned_by_position():
    model, rng = AcceptanceModel(2), np.random.default_rng(0)
    proposal = proposal_of([0.5] * 40, [2] * 20)
    for _ in range(REFIT_EVERY):
        first, second = rng.random((2, 20)) < [[0.9], [0.3]]
        accepted = np.where(first, 1 + second, 0)
        model.observe(proposal, kept=np.full(20, 2), accepted=accepted)
    np.testing.assert_allclose(model.predict(proposal)[:2], [0.9, 0.3], atol=0.05)


def test_slots_behind_a_rejection_and_rows_that_are_gone_say_nothing():
    left_out, cut = AcceptanceModel(3), AcceptanceModel(3)
    for _ in range(REFIT_EVERY):
        whole = proposal_of([0.9, 0.2, 0.7, 0.6], [3, 1])
        left_out.observe(whole, kept=np.array([3, 1]), accepted=np.array([0, -1]))
        cut.observe(proposal_of([0.9], [1]), kept=np.array([1]), accepted=np.array([0]))
    probe = proposal_of([0.5, 0.5, 0.5], [3])
    np.testing.assert_allclose(left_out.predict(probe), cut.predict(probe))


def test_a_contradiction_is_soon_believed():
    model, proposal = AcceptanceModel(1), proposal_of([0.5] * 4, [1] * 4)
    for _ in range(REFIT_EVERY):
        model.observe(proposal, kept=np.ones(4, int), accepted=np.array([1, 1, 1, 0]))
    assert model.predict(proposal)[0] == pytest.approx(0.75, abs=0.02)
    for _ in range(20):
        model.observe(proposal, kept=np.ones(4, int), accepted=np.zeros(4, int))
    assert model.predict(proposal)[0] < 0.02


def test_one_step_of_more_slots_than_are_kept_is_learned_from_whole():
    model, rows = AcceptanceModel(16), CAPACITY // 16 + 1
    proposal = proposal_of([0.5] * rows * 16, [16] * rows)
    model.observe(proposal, kept=np.full(rows, 16), accepted=np.full(rows, 16))
    assert model.predict(proposal).min() > 0.9


def test_steps_without_drafts_change_nothing():
    model, proposal = AcceptanceModel(2), proposal_of([0.9, 0.9], [2])
    before = model.predict(proposal)
    for _ in range(REFIT_EVERY + 1):
        model.observe(proposal, kept=np.array([0]), accepted=np.array([0]))
    np.testing.assert_array_equal(model.predict(proposal), before)


def test_new_weights_move_the_intercepts_halfway_to_the_prior():
    model, proposal = AcceptanceModel(1), proposal_of([0.5], [1])
    for _ in range(REFIT_EVERY):
        model.observe(proposal, kept=np.array([1]), accepted=np.array([0]))
    learned = model.predict(proposal)[0]
    model.age()
    log_odds = np.log(learned / (1 - learned))
    assert model.predict(proposal)[0] == pytest.approx(sigmoid((log_odds - 0.2) / 2))
