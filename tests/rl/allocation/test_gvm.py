"""Golden values: N = 40, G = [10 10 10 4 10], p = [.125 .5 1 .5 0] (released code of GVM)."""

import json
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.allocation.config import GvmConfig
from rl.allocation.gvm import build_gvm, gvm_counts, gvm_weight
from rollout.rounding import largest_remainder
from tests.rewards.groups import group, prompt, verdicts

GRADIENT_NORMS = [10.0, 10.0, 10.0, 4.0, 10.0]
PASS_RATES = [0.125, 0.5, 1.0, 0.5, 0.0]
WEIGHTS = [gvm_weight(p, g, 1e-3, 2.0) for p, g in zip(PASS_RATES, GRADIENT_NORMS, strict=True)]

weights = st.lists(st.floats(0.0, 1e3), min_size=1, max_size=20)


class NormsByLength:
    """A learner whose gradient norm is the length of the response."""

    def gradient_norms(self, rows):
        return [float(row.response_length) for row in rows]


def observe(gvm, step, *groups):
    """Groups as (prompt's name, lengths, `r` for a right answer each)."""
    sampled = [group(name, lengths) for name, lengths, _ in groups]
    judged = [verdicts([outcome == "r" for outcome in outcomes]) for *_, outcomes in groups]
    return gvm.observe(sampled, judged, step, NormsByLength())


def allocated(gvm, names, step):
    """The names of the prompts that get a group each, when those of `names` are drawn."""
    return "".join(p.id for p in gvm.allocate([prompt(name) for name in names], step))


def test_groups_have_the_golden_shares():
    shares = [40 * weight / sum(WEIGHTS) for weight in WEIGHTS]
    assert shares == pytest.approx([19.184, 9.874, 6.993, 3.950, 0.0], abs=5e-4)


def test_groups_have_the_golden_counts():
    assert gvm_counts(WEIGHTS, 40) == [19, 10, 7, 4, 0]


def test_the_weight_is_largest_at_the_square_root_of_the_smoothing():
    at_peak = gvm_weight(sqrt(1e-3), 1.0, 1e-3, 2.0)
    assert at_peak == pytest.approx(1 / sqrt(2 * sqrt(1e-3)))
    assert at_peak > gvm_weight(0.04, 1.0, 1e-3, 2.0)
    assert at_peak > gvm_weight(0.025, 1.0, 1e-3, 2.0)


def test_without_smoothing_the_weight_is_the_norm_over_the_root_of_the_pass_rate():
    assert gvm_weight(0.25, 3.0, 0.0, 2.0) == 6.0


def test_a_power_of_one_smooths_by_a_constant():
    assert gvm_weight(0.25, 3.0, 2.0, 1.0) == 2.0


def test_what_was_never_solved_weighs_nothing():
    assert gvm_weight(0.0, 10.0, 1e-3, 2.0) == 0.0


@given(weights, st.integers(0, 200))
def test_counts_sum_to_the_total_and_are_within_one_of_their_shares(weights, total):
    counts = gvm_counts(weights, total)
    assert sum(counts) == total
    if sum(weights) > 1e-6:
        shares = [total * weight / sum(weights) for weight in weights]
        assert all(abs(n - share) <= 1 for n, share in zip(counts, shares, strict=True))


def test_all_get_alike_when_nothing_has_a_weight():
    assert gvm_counts([0.0, 0.0, 0.0], 7) == [3, 2, 2]


def test_rounding_to_the_nearest_and_mending_the_sum_is_the_largest_remainder():
    """What the released code does: 2.6 2.6 2.6 2.2 round to 11, one too many for 10."""
    assert largest_remainder([2.6, 2.6, 2.6, 2.2]) == [3, 3, 2, 2]


def test_prompts_without_a_pilot_get_one_group_each():
    assert allocated(build_gvm(GvmConfig()), "abc", 0) == "abc"


def test_measured_prompts_share_their_groups_by_weight():
    """p = 1/4 and 1 at equal norms without smoothing: weights 2 and 1, so 2 and 1 of 3 groups."""
    gvm = build_gvm(GvmConfig(smoothing=0.0))
    observe(gvm, 0, ("a", [6] * 4, "r..."), ("b", [6] * 4, "rrrr"), ("c", [6] * 4, "...."))
    assert allocated(gvm, "abc", 1) == "aab"


def test_a_group_grows_with_the_norms_of_its_right_answers_alone():
    """Norms 6, 2, 2, 2 at equal pass rates share 4 groups as 2, 2/3, 2/3, 2/3."""
    gvm = build_gvm(GvmConfig())
    observe(gvm, 0, ("a", [6, 1], "r."), *((name, [2, 99], "r.") for name in "bcd"))
    assert allocated(gvm, "abcd", 1) == "aabc"


def test_two_groups_of_a_prompt_are_one_measurement():
    """3 of 4 right over both groups, norms 6: weight 6 / sqrt(3/4), equal to that of b."""
    gvm = build_gvm(GvmConfig(smoothing=0.0))
    metrics = observe(
        gvm, 0, ("a", [6, 6], "rr"), ("a", [6, 6], "r."), ("b", [6] * 4, "rrr."), ("c", [6], "r")
    )
    assert allocated(gvm, "ab", 1) == "ab"
    assert metrics == {"allocation/groups_per_prompt": 4 / 3}


def test_an_old_pilot_is_no_pilot():
    gvm = build_gvm(GvmConfig(refresh_steps=10))
    observe(gvm, 5, ("a", [6, 6], "rr"), ("b", [6, 6], ".."))
    assert allocated(gvm, "ab", 15) == "aa"
    assert allocated(gvm, "ab", 16) == "ab"


def test_a_restored_allocation_goes_on_as_the_saved_one():
    gvm, restored = build_gvm(GvmConfig()), build_gvm(GvmConfig())
    observe(gvm, 0, ("a", [6, 6], "rr"), ("b", [6, 6], ".."))
    restored.load(json.loads(json.dumps(gvm.state())))
    assert allocated(restored, "ab", 1) == "aa"


def test_settings_out_of_range_are_refused():
    [weighing, steps] = GvmConfig(smoothing=-1.0, refresh_steps=0).problems()
    assert weighing.startswith("allocation.smoothing=-1.0")
    assert steps == "allocation.refresh_steps=0: set it to 1 or more"
