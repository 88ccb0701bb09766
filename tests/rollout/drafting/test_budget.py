import numpy as np

from rollout.drafting.budget import PROBE_EVERY, STEPS_HELD, Budget


def choices(budget, rates, num_steps, rows=2, plain=1.0):
    return [budget.choose(np.array(rates), rows, plain) for _ in range(num_steps)]


def test_the_first_choice_is_the_best():
    assert choices(Budget(), [1.0, 1.5, 2.0, 1.9], 1) == [2]


def test_a_better_budget_waits_until_the_old_one_was_held():
    budget = Budget()
    choices(budget, [1.0, 2.0, 1.9], 1)
    assert choices(budget, [1.0, 2.0, 2.2], STEPS_HELD) == [1] * (STEPS_HELD - 1) + [2]


def test_a_small_gain_must_last():
    budget = Budget()
    choices(budget, [1.0, 2.0, 1.9], 1)
    # a gain of 1.9 % is enough once 5 % * 8 / 22 < 1.9 %
    assert choices(budget, [1.0, 2.0, 2.038], 22) == [1] * 21 + [2]


def test_the_budget_follows_the_rows():
    budget = Budget()
    choices(budget, [1.0, 1.1, 2.0, 1.9], 1, rows=2)
    assert choices(budget, [1.0, 1.1, 1.2, 1.3, 2.0, 1.9], 1, rows=4) == [4]
    assert budget.held(3, 10) == 3 and budget.held(3, 2) == 2


def test_nothing_is_verified_where_the_speed_up_is_below_2_percent():
    budget = Budget()
    assert choices(budget, [1.0, 1.019], STEPS_HELD - 1) == [0] * (STEPS_HELD - 1)
    assert budget.is_on
    choices(budget, [1.0, 1.019], 1)
    assert not budget.is_on and budget.held(2, 9) == 0


def test_steps_without_offers_do_not_end_drafting():
    budget = Budget()
    choices(budget, [1.0, 2.0], 1)
    for _ in range(20):
        budget.pass_by()
    assert budget.is_on
    assert choices(budget, [1.0, 2.0], 1) == [1]


def test_one_step_in_fifty_probes_while_drafting_is_off():
    budget = Budget()
    probes = []
    for step in range(4 * PROBE_EVERY):
        if not (budget.is_on or budget.is_probe_due):
            budget.pass_by()
        elif budget.choose(np.array([1.0, 0.9, 0.8]), 1, 1.0):
            probes.append(step)
    assert len(probes) == 4 and set(np.diff(probes)) == {PROBE_EVERY}


def test_probes_while_drafting_is_on_measure_other_budgets_in_turn():
    budget = Budget()
    chosen = choices(budget, [1.0, 1.2, 2.0, 1.9, 1.8], 3 * PROBE_EVERY)
    assert [n for n in chosen if n != 2] == [0, 1, 4]


def test_a_probe_can_be_asked_for():
    budget = Budget()
    choices(budget, [1.0, 0.9], STEPS_HELD)
    budget.probe_now()
    assert budget.is_probe_due and choices(budget, [1.0, 0.9], 2) == [1, 0]


def test_a_probe_turns_drafting_on_at_once_however_few_steps_decided():
    """Steps that are passed by hold the budget of nothing as well."""
    budget = Budget()
    choices(budget, [1.0, 0.9, 0.8], STEPS_HELD)
    assert not budget.is_on
    for _ in range(STEPS_HELD):
        budget.pass_by()
    budget.probe_now()
    assert choices(budget, [1.0, 1.5, 2.0], 2, rows=1) == [2, 2] and budget.is_on
