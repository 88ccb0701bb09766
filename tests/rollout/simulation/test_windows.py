import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.simulation.cluster import Cluster, Workload
from rollout.simulation.lengths import Lengths, lognormal
from rollout.simulation.replica import affine
from rollout.simulation.simulator import simulate
from rollout.simulation.windows import simulate_windows

CLUSTER = Cluster(
    num_replicas=1,
    max_running=32,
    decode_seconds=affine(0.01, 0.001),
    learner_seconds=5.0,
    publish_seconds=1.0,
)


def alternating(*tokens):
    """Groups of these lengths, over and over."""

    def draw(rng, num_prompts, group_size):
        table = np.resize(np.array(tokens), (num_prompts, group_size))
        return Lengths(tokens=table, predicted=table.mean(axis=1))

    return draw


def test_a_window_as_long_as_the_longest_is_the_synchronous_run():
    workload = Workload(num_groups=4, group_size=4, lengths=lognormal(500, 0.8, 0.3, 2000))
    windows = simulate_windows(CLUSTER, workload, 2000, 30, seed=3)
    whole = simulate(CLUSTER, workload, 30, seed=3)
    for name in ("seconds_per_step", "tokens_per_second", "samples_per_second"):
        assert getattr(windows, name) == pytest.approx(getattr(whole, name)), name
    assert windows.engine_idle_share == pytest.approx(whole.engine_idle_share)
    assert windows.engine_occupancy == pytest.approx(whole.engine_occupancy)


def test_a_step_lasts_a_window_and_a_completion_several_steps():
    """32 of 400 tokens, W = 100: 100 steps of 0.042 s, and an end every fourth step."""
    workload = Workload(num_groups=4, group_size=8, lengths=alternating(400))
    report = simulate_windows(CLUSTER, workload, 100, 8, seed=0)
    assert report.seconds_per_step == pytest.approx(4.2 + 6.0)
    assert report.tokens_per_second == pytest.approx(3200 / 10.2)
    assert report.samples_per_second == pytest.approx(8 / 10.2)
    assert report.engine_idle_share == pytest.approx(6 / 10.2)


def test_a_continuation_prefills_its_prompt_and_its_earlier_windows():
    """One completion of 2 windows of 100: prompts of 50, then 150 tokens, at 0.01 s."""
    cluster = dataclasses.replace(CLUSTER, prefill_seconds_per_token=0.01)
    workload = Workload(num_groups=1, group_size=1, prompt_tokens=50, lengths=alternating(200))
    report = simulate_windows(cluster, workload, 100, 2, seed=0)
    assert report.seconds_per_step == pytest.approx(1.1 + (0.5 + 1.5) / 2 + 6.0)


def test_a_heavy_tail_trains_on_more_tokens_per_second_with_windows():
    workload = Workload(num_groups=8, group_size=8, lengths=lognormal(500, 1.0, 0.5, 8000))
    slots = dataclasses.replace(CLUSTER, max_running=64, learner_seconds=0.5, publish_seconds=0.1)
    whole = simulate(slots, workload, 20, seed=0)
    windows = simulate_windows(slots, workload, 1000, 20, seed=0)
    assert windows.tokens_per_second > 1.2 * whole.tokens_per_second
    assert windows.engine_occupancy > whole.engine_occupancy


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 3), st.integers(1, 5), st.integers(0, 50))
def test_no_step_generates_for_longer_than_a_window_on_every_slot(window, replicas, running, seed):
    """W steps at T(all slots) for each wave; the batch is always full."""
    cluster = dataclasses.replace(CLUSTER, num_replicas=replicas, max_running=running)
    workload = Workload(num_groups=2, group_size=3, lengths=lognormal(40, 1.0, 0.5, 100))
    report = simulate_windows(cluster, workload, window, 5, seed)
    longest = 6 * window * cluster.decode_seconds(running)
    assert 6.0 < report.seconds_per_step <= 6.0 + longest
    assert report.tokens_per_second * report.seconds_per_step <= 6 * window * (1 + 1e-9)


def test_an_empty_window_is_refused():
    workload = Workload(num_groups=1, group_size=1, lengths=alternating(5))
    with pytest.raises(ValueError, match="window=0: set it to 1 token or more"):
        simulate_windows(CLUSTER, workload, 0, 1, seed=0)
