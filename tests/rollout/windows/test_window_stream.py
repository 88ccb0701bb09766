"""The stream of T-PPO: one window of all that is under way, response by response."""

import json

import numpy as np
import pytest

from data.types import Completion, Finish, Prompt, Verdict
from rollout.background import BackgroundLoop
from rollout.books import Fate
from rollout.continuation import sampled_since
from rollout.engine import EngineError
from rollout.samplings import Request, StreamSettings
from rollout.windows.engine import WindowedEngine
from rollout.windows.pool import WindowPool
from rollout.windows.stream import WindowStream
from tests.fakes import FakeEngine, words

WINDOW, LIMIT, GROUPS, SIZE, STEPS = 4, 30, 2, 4, 8


@pytest.fixture
def loop():
    background = BackgroundLoop()
    yield background
    background.close()


class Steps:
    """A run that fills two groups' places of four in every step."""

    def __init__(self, loop, window=WINDOW, grader_fails=False, engine=None):
        self.engine = engine or FakeEngine()
        self.pool = WindowPool(window, words)
        self.grader_fails = grader_fails
        self.records = []
        settings = StreamSettings(
            group_size=SIZE,
            seed=1,
            groups_per_update=GROUPS,
            max_staleness=9,
            groups_ahead=9 * GROUPS,
        )
        windows = WindowedEngine(self.engine, self.pool)
        self.stream = WindowStream(windows, self.verify, loop, settings, self.records.append)
        self.drawn = 0

    async def verify(self, prompt, completion):
        return Verdict(correct=None if self.grader_fails else True, reason="broken")

    def step(self, index):
        """The whole responses of a step, and those that go on."""
        self.engine.weight_version = index
        fresh = [
            Prompt(id=f"p{self.drawn + n}", messages=(), token_ids=np.array([1]), answer="7")
            for n in range(self.stream.room(STEPS))
        ]
        self.drawn += len(fresh)
        self.stream.submit(Request(prompt=p, limit=LIMIT, step=index) for p in fresh)
        judged = self.stream.next_windows()
        assert self.stream.end_step() == 1.0
        return judged, self.stream.begun()


def completions(groups) -> list[Completion]:
    return [completion for group in groups for completion in group.completions]


def told(steps):
    """Tokens and spans of everything that trained, in their order."""
    return [
        [
            (c.id, c.token_ids.tolist(), c.logprobs.tolist(), c.spans)
            for c in completions([j.group for j in judged] + begun)
        ]
        for judged, begun in steps
    ]


def test_every_step_trains_a_window_of_everything_under_way(loop):
    run = Steps(loop)
    steps = [run.step(index) for index in range(STEPS)]
    for index, (judged, begun) in enumerate(steps):
        ended, going_on = completions([j.group for j in judged]), completions(begun)
        assert ended, "a step without a whole response"
        # Never more than the places, and free ones are less than a group's.
        assert GROUPS * SIZE - SIZE < len(ended) + len(going_on) <= GROUPS * SIZE
        assert all(c.finish is Finish.WINDOW for c in going_on)
        assert all(c.finish in (Finish.STOP, Finish.LIMIT) for c in ended)
        for completion in ended + going_on:
            assert sampled_since(completion, index).any()
    run.stream.close()


def test_each_token_trains_once_and_each_response_ends_once(loop):
    run = Steps(loop)
    trained, ended = {}, {}
    for index in range(STEPS):
        judged, begun = run.step(index)
        for c in completions([j.group for j in judged] + begun):
            trained[c.id] = trained.get(c.id, 0) + int(sampled_since(c, index).sum())
        for c in completions([j.group for j in judged]):
            assert c.id not in ended
            ended[c.id] = c.num_tokens
    assert ended and all(trained[name] == count for name, count in ended.items())
    assert any(count > WINDOW for count in ended.values())
    run.stream.close()
    fates = run.stream.fates
    assert fates[Fate.TRAINED] == len(ended)
    assert sum(fates.values()) == SIZE * run.drawn
    assert sorted(r.id for r in run.records if r.fate is Fate.TRAINED) == sorted(ended)


def test_a_response_does_not_wait_for_its_group(loop):
    run = Steps(loop)
    steps = [run.step(index) for index in range(STEPS)]
    sizes = [len(j.group.completions) for judged, _ in steps for j in judged]
    assert min(sizes) < SIZE
    assert all(len(j.verdicts) == len(j.group.completions) for judged, _ in steps for j in judged)
    run.stream.close()


def test_what_goes_on_comes_in_the_order_of_submission_whatever_ended_first(loop):
    # The later a request was submitted, the sooner its window ends.
    slow = FakeEngine(seconds=lambda sampling: 0.05 / (1 + int(sampling.id.split("/")[2])))
    quick, late = Steps(loop), Steps(loop, engine=slow)
    for index in range(3):
        assert told([late.step(index)]) == told([quick.step(index)])
    quick.stream.close()
    late.stream.close()


def test_a_step_in_which_nothing_ends_goes_on_for_another_window(loop):
    run = Steps(loop, window=1)
    judged, begun = run.step(0)
    assert completions([j.group for j in judged])
    assert any(c.num_tokens > 1 for c in completions(begun))
    # Whatever the number of windows, these weights sampled all of it.
    assert {c.weight_versions for c in completions(begun)} == {(0, 0)}
    run.stream.close()


def test_a_resumed_run_trains_on_what_the_one_that_was_not_stopped_does(loop):
    whole = Steps(loop)
    expected = [whole.step(index) for index in range(STEPS)]
    whole.stream.close()
    first = Steps(loop)
    begun = [first.step(index) for index in range(3)]
    state, drawn = json.loads(json.dumps(first.stream.state())), first.drawn
    first.stream.close()
    again = Steps(loop)
    again.drawn = drawn
    again.stream.load(state)
    rest = [again.step(index) for index in range(3, STEPS)]
    again.stream.close()
    assert told(begun + rest) == told(expected)


def test_responses_without_a_verdict_leave_and_nothing_is_waited_for(loop):
    run = Steps(loop, grader_fails=True)
    run.engine.weight_version = 0
    prompt = Prompt(id="p", messages=(), token_ids=np.array([1]), answer="7")
    run.stream.submit([Request(prompt=prompt, limit=LIMIT, step=0)])
    assert run.stream.next_windows() == []
    assert run.stream.begun() == []
    assert run.stream.fates[Fate.GRADER_FAILED] == SIZE
    run.stream.close()


def test_a_request_that_fails_ends_the_step(loop):
    run = Steps(loop, engine=FakeEngine(fails=lambda sampling: "/w1" in sampling.id))
    with pytest.raises(EngineError, match="told to fail"):
        for index in range(STEPS):
            run.step(index)
    run.stream.close()
