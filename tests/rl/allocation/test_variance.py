"""Variances of outcomes: 0 where a prompt's answers are all right or wrong, 1/4 where half are."""

import json

from rl.allocation.config import VarianceConfig
from rl.allocation.variance import build_variance
from tests.rewards.groups import group, prompt, verdicts


class NoLearner:
    """Refuses to be asked."""


def observe(variance, step, *groups):
    """Groups as (prompt's name, `r` for a right answer each)."""
    sampled = [group(name, [6] * len(outcomes)) for name, outcomes in groups]
    judged = [verdicts([outcome == "r" for outcome in outcomes]) for _, outcomes in groups]
    return variance.observe(sampled, judged, step, NoLearner())


def allocated(variance, names, step):
    """The names of the prompts that get a group each, when those of `names` are drawn."""
    return "".join(p.id for p in variance.allocate([prompt(name) for name in names], step))


def test_prompts_that_nobody_has_seen_get_one_group_each():
    assert allocated(build_variance(VarianceConfig()), "abc", 0) == "abc"


def test_groups_go_where_the_outcome_is_uncertain():
    """Variances 1/4, 3/16, 0, 0 of four groups: 16/7 and 12/7, so 2 and 2."""
    variance = build_variance(VarianceConfig())
    metrics = observe(variance, 0, ("a", "rr.."), ("b", "r..."), ("c", "rrrr"), ("d", "...."))
    assert allocated(variance, "abcd", 1) == "aabb"
    assert metrics == {"allocation/groups_per_prompt": 1.0}


def test_no_prompt_takes_more_than_its_most():
    """One uncertain prompt of four: three groups at most, and the last to the first of the rest."""
    variance = build_variance(VarianceConfig(most_groups=3))
    observe(variance, 0, ("a", "r."), ("b", "rr"), ("c", "rr"), ("d", ".."))
    assert allocated(variance, "abcd", 1) == "aaab"


def test_unseen_prompts_are_looked_at_beside_the_others():
    variance = build_variance(VarianceConfig())
    observe(variance, 0, ("a", "r."), ("b", "rr"))
    assert allocated(variance, "axb", 1) == "xaa"


def test_the_groups_of_a_prompt_are_counted_together():
    """3 of 4 over both groups of a, 1 of 2 of b, none of c: 3/16 to 1/4, so 1 and 2 of three."""
    variance = build_variance(VarianceConfig())
    metrics = observe(variance, 0, ("a", "rr"), ("a", "r."), ("b", "r."), ("c", ".."))
    assert allocated(variance, "abc", 1) == "abb"
    assert metrics == {"allocation/groups_per_prompt": 4 / 3}


def test_a_prompt_without_groups_is_looked_at_again_when_its_pilot_is_old():
    variance = build_variance(VarianceConfig(refresh_steps=10))
    observe(variance, 5, ("a", "r."), ("b", "rr"))
    assert allocated(variance, "ab", 15) == "aa"
    assert allocated(variance, "ab", 16) == "ab"


def test_a_restored_allocation_goes_on_as_the_saved_one():
    variance, restored = build_variance(VarianceConfig()), build_variance(VarianceConfig())
    observe(variance, 0, ("a", "r."), ("b", "rr"))
    restored.load(json.loads(json.dumps(variance.state())))
    assert allocated(restored, "ab", 1) == "aa"


def test_settings_out_of_range_are_refused():
    assert VarianceConfig(refresh_steps=0, most_groups=0).problems() == [
        "allocation.refresh_steps=0: set it to 1 or more",
        "allocation.most_groups=0: set it to 1 or more",
    ]
