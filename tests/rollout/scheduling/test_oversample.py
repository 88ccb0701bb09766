"""Oversampled steps: how many groups run, and drawn runs of the stream that are cut every step."""

import dataclasses
import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.books import Fate
from rollout.scheduling.oversample import groups_ahead
from rollout.stream import Stream
from tests.rollout.schedules import drawn, play


@pytest.fixture(autouse=True)
def quiet_about_lost_engines():
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    ("per_update", "factor", "ahead"), [(8, 1.0, 0), (8, 1.5, 4), (3, 1.5, 2), (10, 1.1, 1)]
)
def test_a_step_runs_its_groups_and_the_spare_ones_rounded_up(per_update, factor, ahead):
    assert groups_ahead(per_update, factor) == ahead


@given(st.integers(1, 1000), st.integers(0, 8))
def test_whole_factors_are_whole_updates_ahead(per_update, updates):
    assert groups_ahead(per_update, 1.0 + updates) == updates * per_update


def cut(seed):
    """A drawn schedule whose steps run up to max_staleness + 1 times their groups, and are cut."""
    schedule = drawn(seed)
    staleness = max(1, schedule.max_staleness)
    oversample = random.Random(seed).choice([1.25, 1.5, 2.0])
    return dataclasses.replace(schedule, max_staleness=staleness, oversample=oversample)


def test_300_cut_schedules_lose_nothing_and_train_on_nothing_too_old():
    resumed, carried = 0, 0
    for seed in range(300):
        for step, batch in enumerate(play(cut(seed))):
            completions = [c for judged in batch for c in judged.group.completions]
            resumed += sum(len(c.spans) > 1 for c in completions)
            carried += sum(step > judged.oldest_version for judged in batch)
    assert resumed > 200 and carried > 200


@pytest.mark.long
def test_10000_cut_schedules_lose_nothing_and_train_on_nothing_too_old():
    for seed in range(300, 10_300):
        play(cut(seed))


def test_nothing_is_sampled_while_the_learner_updates():
    """Every step ends with all that runs parked, so its weights sampled all of its tokens."""
    running = []

    class Watched(Stream):
        def end_step(self):
            share = super().end_step()
            running.append(self.running - self._windows.num_parked)
            return share

    schedules = [cut(seed) for seed in range(20)]
    for schedule in schedules:
        play(schedule, Watched)
    assert len(running) > 40 and set(running) == {0}


def test_a_step_that_is_cut_does_not_wait_for_its_spare_groups():
    """Lengths of a heavy tail: cut runs spend less time in rollouts than runs without a spare."""
    heavy = [
        dataclasses.replace(cut(seed), sigma=1.5, num_groups=4, slots=100, num_steps=5,
                            engine_dies=0.0, closes_early=False, differ=1.0)
        for seed in range(20)
    ]  # fmt: skip
    waited = []
    for oversample in (1.0, 1.5):
        total = 0.0
        for schedule in heavy:
            changed = dataclasses.replace(
                schedule, oversample=oversample, max_staleness=int(oversample > 1)
            )
            total += rollout_seconds(changed)
        waited.append(total)
    assert waited[1] < 0.9 * waited[0]


def rollout_seconds(schedule):
    """Virtual seconds that the loop waits for batches."""
    seconds = 0.0

    class Timed(Stream):
        def next_batch(self, num_groups, version):
            nonlocal seconds
            began = self._loop._loop.time()
            batch = super().next_batch(num_groups, version)
            seconds += self._loop._loop.time() - began
            return batch

    play(schedule, Timed)
    return seconds


def test_a_stream_that_forgets_what_it_cut_is_found():
    class Forgetful(Stream):
        async def _cancel(self):
            self._books.settle_running = lambda fate: None
            await super()._cancel()

    with pytest.raises(AssertionError, match="without a fate"):
        for seed in range(20):
            play(cut(seed), Forgetful)


def test_every_fate_of_a_cut_run_is_told():
    fates = set()
    for seed in range(60):

        def build(*parts, **more):
            engine, verify, keep, loop, settings, on_fate = parts

            def tell(record):
                fates.add(record.fate)
                on_fate(record)

            return Stream(engine, verify, keep, loop, settings, tell, **more)

        play(cut(seed), build)
    assert fates >= {Fate.TRAINED, Fate.UNIFORM, Fate.ABORTED, Fate.GRADER_FAILED, Fate.TOO_FEW}
