import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.simulation.cluster import Cluster, Workload, longest_first, pinned, spread
from rollout.simulation.lengths import Lengths, lognormal
from rollout.simulation.replica import affine
from rollout.simulation.simulator import simulate
from rollout.timeline import LEARNER, Kind

CLUSTER = Cluster(
    num_replicas=1,
    max_running=32,
    decode_seconds=affine(0.01, 0.001),
    learner_seconds=5.0,
    publish_seconds=1.0,
)


def equal(num_tokens):
    """Every completion has so many tokens."""
    return lognormal(num_tokens, 0.0, 0.0, num_tokens)


def rows(*tokens):
    """A batch of these lengths [P][G], over and over."""
    table = np.array(tokens)

    def draw(rng, num_prompts, group_size):
        drawn = table[np.arange(num_prompts) % len(table)]
        return Lengths(tokens=drawn, predicted=drawn.mean(axis=1))

    return draw


WORKLOAD = Workload(num_groups=4, group_size=8, lengths=equal(1000))


def test_a_synchronous_step_is_makespan_then_learner_then_publication():
    """32 sequences run together: 1,000 steps of 0.042 s, then 5 s, then 1 s."""
    report = simulate(CLUSTER, WORKLOAD, 3, seed=0)
    assert report.seconds_per_step == pytest.approx(42.0 + 6.0)
    assert report.samples_per_second == pytest.approx(32 / 48)
    assert report.tokens_per_second == pytest.approx(32_000 / 48)
    assert report.engine_idle_share == pytest.approx(6 / 48)
    assert report.learner_idle_share == pytest.approx(42 / 48)
    assert report.engine_occupancy == pytest.approx(1.0)
    assert report.staleness == report.oldest_staleness == {0: 1.0}


def test_half_the_slots_take_two_waves():
    """Twice 1,000 steps of 0.026 s."""
    narrow = dataclasses.replace(CLUSTER, max_running=16)
    assert simulate(narrow, WORKLOAD, 2, seed=0).seconds_per_step == pytest.approx(52.0 + 6.0)


def test_the_longest_completion_ends_the_step():
    """Lengths 100, 200, 300, 400: 400 steps of 0.01 s and 1,000 tokens of 0.001 s.

    4, 3, 2, 1 run for 1.4, 1.3, 1.2, 1.1 s: 13 sequence-seconds in 5 s of 32 slots.
    """
    workload = Workload(num_groups=2, group_size=2, lengths=rows([100, 400], [300, 200]))
    report = simulate(CLUSTER, workload, 2, seed=0)
    assert report.seconds_per_step == pytest.approx(4.0 + 1.0 + 6.0)
    assert report.engine_occupancy == pytest.approx(13 / (5 * 32))


def test_a_pinned_group_prefills_its_prompt_once_and_a_spread_one_on_each_replica():
    """Prompts of 100 tokens at 0.01 s: the replica of the most groups has 2 to do, or 4."""
    two = dataclasses.replace(CLUSTER, num_replicas=2, prefill_seconds_per_token=0.01)
    workload = dataclasses.replace(WORKLOAD, prompt_tokens=100)
    seconds = {
        place: simulate(dataclasses.replace(two, place=place), workload, 2, seed=0).seconds_per_step
        for place in (pinned, spread)
    }
    assert seconds[pinned] == pytest.approx(2.0 + 26.0 + 6.0)
    assert seconds[spread] == pytest.approx(4.0 + 26.0 + 6.0)


@pytest.mark.parametrize(("learner_seconds", "expected"), [(5.0, 42.0 + 1.0), (60.0, 61.0)])
def test_with_staleness_the_slower_side_sets_the_pace(learner_seconds, expected):
    """Engines: 42 s of full work and 1 s of pause. Learner: its seconds and the publication's."""
    cluster = dataclasses.replace(CLUSTER, learner_seconds=learner_seconds)
    workload = dataclasses.replace(WORKLOAD, max_staleness=4)
    report = simulate(cluster, workload, 20, seed=0)
    assert report.seconds_per_step == pytest.approx(expected, rel=0.01)
    idle = min(report.engine_idle_share, report.learner_idle_share)
    assert idle < 0.03


def test_a_step_is_never_faster_than_either_side_alone():
    workload = dataclasses.replace(WORKLOAD, lengths=lognormal(1000, 0.8, 0.4, 8000))
    for max_staleness in (0, 1, 4):
        each = dataclasses.replace(workload, max_staleness=max_staleness)
        report = simulate(CLUSTER, each, 20, seed=1)
        full_engine = 32 / CLUSTER.decode_seconds(32)
        assert report.tokens_per_second <= full_engine
        assert report.seconds_per_step >= 6.0


def test_more_staleness_is_faster_and_older():
    workload = dataclasses.replace(WORKLOAD, lengths=lognormal(1000, 0.8, 0.4, 8000))
    reports = [
        simulate(CLUSTER, dataclasses.replace(workload, max_staleness=bound), 40, seed=1)
        for bound in (0, 1, 2, 4)
    ]
    seconds = [report.seconds_per_step for report in reports]
    assert seconds == sorted(seconds, reverse=True)
    ages = [sum(age * share for age, share in r.oldest_staleness.items()) for r in reports]
    assert ages == sorted(ages) and ages[0] == 0


@settings(max_examples=40)
@given(
    num_replicas=st.integers(1, 3),
    max_running=st.integers(1, 9),
    num_groups=st.integers(1, 4),
    group_size=st.integers(1, 4),
    max_staleness=st.integers(0, 4),
    learner_seconds=st.sampled_from([0.0, 1.0, 30.0]),
    kept_share=st.sampled_from([0.4, 1.0]),
    seed=st.integers(0, 100),
)
def test_nothing_is_too_old_and_nothing_is_lost(
    num_replicas,
    max_running,
    num_groups,
    group_size,
    max_staleness,
    learner_seconds,
    kept_share,
    seed,
):
    cluster = dataclasses.replace(
        CLUSTER,
        num_replicas=num_replicas,
        max_running=max_running,
        learner_seconds=learner_seconds,
        place=spread,
    )
    workload = Workload(
        num_groups=num_groups,
        group_size=group_size,
        lengths=lognormal(100, 1.0, 0.5, 2000),
        max_staleness=max_staleness,
        kept_share=kept_share,
    )
    report = simulate(cluster, workload, 6, seed)
    assert max(report.oldest_staleness) <= max_staleness
    assert sum(report.staleness.values()) == pytest.approx(1.0)
    assert sum(report.oldest_staleness.values()) == pytest.approx(1.0)
    trained = report.samples_per_second * report.seconds_per_step
    assert trained == pytest.approx(num_groups * group_size)
    assert report == simulate(cluster, workload, 6, seed)


def test_longest_first_ends_sooner():
    """One slot each on two replicas: 3, 3, 6 tokens take 9 steps as drawn, 6 longest first."""
    slots = dataclasses.replace(
        CLUSTER, num_replicas=2, max_running=1, decode_seconds=affine(1.0, 0.0)
    )
    workload = Workload(num_groups=3, group_size=1, lengths=rows([3], [3], [6]))
    best = dataclasses.replace(slots, order=longest_first)
    assert simulate(slots, workload, 1, seed=0).seconds_per_step == pytest.approx(9.0 + 6.0)
    assert simulate(best, workload, 1, seed=0).seconds_per_step == pytest.approx(6.0 + 6.0)


def test_dropped_groups_cost_time():
    """Half of them: about twice the tokens for as many that are trained on."""
    workload = dataclasses.replace(WORKLOAD, max_staleness=2, kept_share=0.5)
    report = simulate(CLUSTER, workload, 60, seed=0)
    assert 1.7 * 43 < report.seconds_per_step < 2.3 * 43
    with pytest.raises(ValueError, match=r"kept_share=0\.0: set 0 < kept_share <= 1"):
        simulate(CLUSTER, dataclasses.replace(workload, kept_share=0.0), 1, seed=0)


def test_every_completion_update_and_publication_is_told():
    told = []
    simulate(CLUSTER, WORKLOAD, 2, seed=0, on_activity=told.append)
    generated = [activity for activity in told if activity.kind is Kind.GENERATE]
    assert len(generated) == 3 * 32 and {a.lane for a in generated} == {"replica 0"}
    assert {round(a.end - a.start, 6) for a in generated} == {42.0}
    learner = [(a.kind, a.name, round(a.end)) for a in told if a.lane == LEARNER]
    assert learner == [
        (Kind.LEARN, "update 0", 47),
        (Kind.PUBLISH, "update 0", 48),
        (Kind.LEARN, "update 1", 95),
        (Kind.PUBLISH, "update 1", 96),
        (Kind.LEARN, "update 2", 143),
        (Kind.PUBLISH, "update 2", 144),
    ]
