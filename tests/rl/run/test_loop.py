"""How the loop asks for the groups of an update."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from data.memory import PromptMemory
from data.sampler import PromptSampler
from data.types import Completion, Group, Prompt, Score, Verdict
from rl.algorithms.dynamic_sampling import Oversampling
from rl.algorithms.tppo import TPpoConfig, tppo
from rl.allocation.uniform import Uniform
from rl.config import ConstantLimitConfig, CriticConfig, OversamplingConfig, RunConfig
from rl.errors import NoBatchError
from rl.learner.batch import Row, ValueRow
from rl.learner.critic import Values
from rl.limits.constant import build_limit
from rl.run.credit import critic_credit
from rl.run.loop import Run, Step, roll_out, roll_out_windows, train
from rollout.background import BackgroundLoop
from rollout.books import Fate, FateRecord
from rollout.config import RolloutConfig
from rollout.continuation import sampled_since
from rollout.engine import Sampling
from rollout.samplings import StreamSettings
from rollout.scheduling.length_history import KEY, LengthHistory
from rollout.scheduling.priorities import Rank, as_drawn, in_step, longest_first
from rollout.stream import Stream
from rollout.windows.engine import WindowedEngine
from rollout.windows.pool import WindowPool
from rollout.windows.stream import WindowStream
from tests.fakes import FakeEngine, words
from tests.rl.builders import prompt, score

NAMES = "abcdefgh"


async def verify(prompt: Prompt, completion: Completion) -> Verdict:
    return Verdict(correct=True)


class Parts:
    """A run whose stream keeps the groups of the prompts in `kept`."""

    def __init__(
        self,
        loop: BackgroundLoop,
        kept: str,
        max_staleness: int = 0,
        rank: Rank = as_drawn,
        **oversampling: float,
    ) -> None:
        self.records: list[FateRecord] = []
        self.engine = FakeEngine()
        self.stream = Stream(
            self.engine,
            verify,
            lambda group, verdicts: group.prompt.id in kept,
            loop,
            StreamSettings(
                group_size=2,
                groups_per_update=2,
                max_staleness=max_staleness,
                groups_ahead=2 * max_staleness,
            ),
            self.records.append,
        )
        self.sampler = PromptSampler([prompt(name) for name in NAMES], seed=0)
        unused, memory = cast(Any, SimpleNamespace()), PromptMemory()
        self.run = Run(
            config=RunConfig(
                prompts_per_step=2, num_steps=4, rollout=RolloutConfig(max_resampling_rounds=3)
            ),
            sampler=self.sampler,
            memory=memory,
            oversampling=Oversampling(OversamplingConfig(**cast(Any, oversampling))),
            allocation=Uniform(),
            limit=build_limit(ConstantLimitConfig(max_response_tokens=5)),
            stream=self.stream,
            reward=unused,
            roll_out=unused,
            credit=unused,
            learner=unused,
            transfer=unused,
            rest=nullcontext,
            probe=unused,
            interrupts=unused,
            lengths=LengthHistory(memory),
            rank=rank,
        )

    def fates(self, fate: Fate) -> list[str]:
        return [r.prompt_id for r in self.records if r.fate is fate][::2]


@pytest.fixture
def loop() -> Iterator[BackgroundLoop]:
    background = BackgroundLoop()
    yield background
    background.close()


def test_the_engine_rests_while_the_learner_learns_and_at_no_other_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []

    def noted(event: str, result: Any) -> Any:
        return lambda *_: (events.append(event), result)[1]

    @contextmanager
    def rest() -> Iterator[None]:
        events.append("rest")
        yield
        events.append("wake")

    nothing = SimpleNamespace(observe=lambda *_: {})
    run = SimpleNamespace(
        config=SimpleNamespace(num_steps=1),
        interrupts=SimpleNamespace(allowed=nullcontext),
        roll_out=noted("roll out", ([], [], 1.0)),
        reward=noted("score", []),
        rest=rest,
        allocation=nothing,
        credit=noted("credit", SimpleNamespace(advantages=[])),
        learner=SimpleNamespace(publish=noted("publish", {})),
        transfer=None,
        probe=noted("probe", {}),
        oversampling=nothing,
        limit=nothing,
    )
    monkeypatch.setattr("rl.run.loop.train_on", noted("update", {}))
    train(cast(Run, run), 0, lambda run, step: None)
    assert events == [
        "roll out", "score", "rest", "credit", "update", "wake", "publish", "probe",
    ]  # fmt: skip


def order() -> list[str]:
    """The prompts in the order in which the sampler draws them."""
    return [p.id for p in PromptSampler([prompt(name) for name in NAMES], seed=0).draw(8)]


def test_as_many_groups_are_sampled_as_an_update_needs(loop: BackgroundLoop) -> None:
    parts = Parts(loop, kept=NAMES)
    groups, verdicts, kept_share = roll_out(parts.run, 0)
    assert [group.prompt.id for group in groups] == order()[:2]
    assert [len(row) for row in verdicts] == [2, 2]
    assert kept_share == 1.0
    assert parts.sampler.state()["position"] == 2


def test_prompts_are_ranked_by_the_lengths_of_their_earlier_groups(loop: BackgroundLoop) -> None:
    parts = Parts(loop, kept=NAMES, rank=longest_first)
    asked: dict[str, int] = {}
    sample = parts.engine.sample

    async def watched(prompt: Prompt, sampling: Sampling) -> Completion:
        asked[prompt.id] = sampling.priority
        return await sample(prompt, sampling)

    parts.engine.sample = watched  # type: ignore[method-assign]
    first, second, third, *_ = order()
    groups, *_ = roll_out(parts.run, 0)
    assert asked == {first: 0, second: 0}
    history = parts.run.lengths
    assert [history.predicted(g.prompt.id) for g in groups] == pytest.approx(
        [float(np.quantile(g.lengths, 0.9)) for g in groups]
    )
    parts.run.memory.update(third, {KEY: 640.0})
    parts.engine.weight_version = 1
    roll_out(parts.run, 1)
    assert asked[third] == in_step(1, -10)


def test_state_holds_the_lengths_of_the_groups_that_were_trained_on(loop: BackgroundLoop) -> None:
    parts, again = Parts(loop, kept=NAMES), Parts(loop, kept=NAMES)
    roll_out(parts.run, 0)
    again.run.load(json.loads(json.dumps(parts.run.state())))
    for name in (order()[0], "unseen"):
        assert again.run.lengths.predicted(name) == parts.run.lengths.predicted(name) > 0


def test_only_what_is_missing_is_drawn_again(loop: BackgroundLoop) -> None:
    first, second, third, *_ = order()
    parts = Parts(loop, kept=first + third)
    groups, _, kept_share = roll_out(parts.run, 0)
    assert [group.prompt.id for group in groups] == [first, third]
    assert parts.fates(Fate.UNIFORM) == [second]
    assert kept_share == 2 / 3


def test_oversampling_asks_once_and_drops_what_it_does_not_need(loop: BackgroundLoop) -> None:
    first, second, third, fourth, *_ = order()
    parts = Parts(loop, kept=first + third + fourth, initial=2.0, highest=2.0)
    groups, _, kept_share = roll_out(parts.run, 0)
    assert [group.prompt.id for group in groups] == [first, third]
    assert parts.fates(Fate.UNIFORM) == [second]
    assert parts.fates(Fate.UNUSED) == [fourth]
    assert kept_share == 3 / 4
    assert parts.sampler.state()["position"] == 4
    assert parts.stream.running == 0


def test_data_on_which_nothing_differs_stop_the_run(loop: BackgroundLoop) -> None:
    parts = Parts(loop, kept=order()[0])
    with pytest.raises(
        NoBatchError, match="step 0: 3 rounds of dynamic sampling found 1 of 2 groups"
    ):
        roll_out(parts.run, 0)


def test_a_checkpoint_holds_what_oversampling_predicts_from(loop: BackgroundLoop) -> None:
    run = Parts(loop, kept=NAMES, initial=2.0, highest=2.0).run
    run.oversampling.observe(0.5)
    other = Parts(loop, kept=NAMES, initial=2.0, highest=2.0).run
    other.load(run.state())
    assert other.state() == run.state()
    assert other.oversampling.state() == {"kept_shares": [0.5]}


class OnTheFirst(Uniform):
    """Gives every group to the first prompt that is drawn."""

    def allocate(self, prompts: Sequence[Prompt], step: int) -> list[Prompt]:
        return [prompts[0]] * len(prompts)


def test_a_prompt_may_have_several_groups_of_answers_of_their_own(loop: BackgroundLoop) -> None:
    parts = Parts(loop, kept=NAMES)
    run = replace(parts.run, allocation=OnTheFirst())
    groups, *_ = roll_out(run, 0)
    assert [group.prompt.id for group in groups] == [order()[0]] * 2
    assert len({completion.id for group in groups for completion in group.completions}) == 4
    assert parts.sampler.state()["position"] == 2


def test_asynchronous_runs_train_on_every_group_in_time(loop: BackgroundLoop) -> None:
    parts = Parts(loop, kept=NAMES, max_staleness=1)
    trained: list[str] = []
    for step in range(4):
        groups, _, kept_share = roll_out(parts.run, step)
        oldest = min(c.weight_versions[0] for group in groups for c in group.completions)
        assert oldest >= step - 1 and kept_share == 1.0
        trained += [group.prompt.id for group in groups]
        parts.engine.weight_version += 1
    assert sorted(trained) == sorted(order())
    assert parts.sampler.state()["position"] == 8
    assert parts.stream.given_back() == []


def test_prompts_whose_groups_are_open_count_as_not_drawn_in_a_checkpoint(
    loop: BackgroundLoop,
) -> None:
    parts = Parts(loop, kept=NAMES, max_staleness=1)
    roll_out(parts.run, 0)
    state = parts.run.state()
    resumed = Parts(loop, kept=NAMES, max_staleness=1)
    resumed.run.load(state)
    assert resumed.run.state() == state
    groups, _, _ = roll_out(resumed.run, 1)
    assert [group.prompt.id for group in groups] == order()[2:4]
    assert resumed.stream.given_back() == order()[4:6]


def test_loading_a_state_drops_what_the_stream_held(loop: BackgroundLoop) -> None:
    parts = Parts(loop, kept=NAMES, max_staleness=1)
    state = parts.run.state()
    roll_out(parts.run, 0)
    parts.run.load(state)
    assert parts.stream.given_back() == [] and parts.stream.running == 0
    assert parts.run.state() == state
    assert sum(parts.stream.fates.values()) == 8


def windowed(loop: BackgroundLoop, engine: FakeEngine | None = None) -> tuple[Run, WindowStream]:
    """As `Parts`, its answers cut into windows of two tokens that train as they are sampled."""
    parts = Parts(loop, kept="", max_staleness=2)
    settings = StreamSettings(group_size=2, seed=3, groups_per_update=2, max_staleness=2)
    windows = WindowedEngine(engine or parts.engine, WindowPool(2, words))
    stream = WindowStream(windows, verify, loop, settings)
    return replace(parts.run, stream=stream), stream


def test_a_windowed_step_trains_what_ended_and_keeps_its_places_full(loop: BackgroundLoop) -> None:
    run, stream = windowed(loop)
    num_trained = 0
    for step in range(4):
        groups, verdicts, kept_share = roll_out_windows(stream, run, step)
        ended = [completion for group in groups for completion in group.completions]
        assert ended and [len(row) for row in verdicts] == [len(g.completions) for g in groups]
        assert 3 <= len(ended) + len(stream.begun()) <= 4
        assert kept_share == 1.0
        num_trained += len(ended)
    drawn = run.sampler.state()["position"]
    stream.close()
    assert stream.fates[Fate.TRAINED] == num_trained
    assert sum(stream.fates.values()) == 2 * drawn


def test_a_windowed_step_without_any_answer_says_so(loop: BackgroundLoop) -> None:
    run, stream = windowed(loop)
    nothing_drawn = cast(Any, SimpleNamespace(draw=lambda count: []))
    with pytest.raises(NoBatchError, match="step 1: every response was aborted or not judged"):
        roll_out_windows(stream, replace(run, sampler=nothing_drawn), 1)


class CriticLearner:
    """A learner whose critic finds every state worth 0.5; it keeps what it is given."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.policy_rows: list[list[Row]] = []
        self.value_rows: list[list[ValueRow]] = []

    def values(self, rows: Sequence[Row]) -> list[Values]:
        return [np.full(row.response_length + 1, 0.5, np.float32) for row in rows]

    def update(self, minibatches: Sequence[list[Row]]) -> dict[str, float]:
        self.policy_rows += minibatches
        return {"loss": 0.0}

    def update_critic(self, minibatches: Sequence[list[ValueRow]]) -> dict[str, float]:
        self.value_rows += minibatches
        return {"critic/vf_loss": 1.0}

    def publish(self, transfer: Any, version: int) -> dict[str, float]:
        self.engine.weight_version = version
        return {}


def reward(groups: Sequence[Group], verdicts: Any) -> list[list[Score]]:
    """1 for answers of an even number of tokens."""
    return [[score(correct=c.num_tokens % 2 == 0) for c in group.completions] for group in groups]


def test_each_window_trains_in_its_step_and_the_critic_learns_whole_responses(
    loop: BackgroundLoop,
) -> None:
    engine = FakeEngine()
    run, stream = windowed(loop, engine)
    algorithm = TPpoConfig(group_size=2, critic=CriticConfig(warmup_steps=1))
    config = RunConfig(
        algorithm=algorithm, num_steps=5, prompts_per_step=2, rollout=RolloutConfig(window_tokens=2)
    )
    learner = CriticLearner(engine)
    steps: list[Step] = []
    run = replace(
        run,
        config=config,
        roll_out=partial(roll_out_windows, stream),
        reward=cast(Any, reward),
        credit=critic_credit(
            config, algorithm, tppo(algorithm), learner.values, sampled_since, stream.begun
        ),
        learner=cast(Any, learner),
        probe=cast(Any, lambda version: {}),
        interrupts=cast(Any, SimpleNamespace(allowed=nullcontext)),
    )
    train(run, 0, lambda run, step: steps.append(step))
    ended = [c for step in steps for group in step.groups for c in group.completions]
    begun = [c for group in stream.begun() for c in group.completions]
    stream.close()
    # The first step trains the critic alone, so its tokens are the policy's no more.
    later = [int(sampled_since(c, 1).sum()) for c in ended + begun]
    assert sum(row.num_trained for rows in learner.policy_rows for row in rows) == sum(later)
    assert len(learner.policy_rows) == 4 and len(learner.value_rows) == 5
    learned = [row for rows in learner.value_rows for row in rows]
    assert [row.num_trained for row in learned] == [c.num_tokens for c in ended]
    assert [set(row.returns.tolist()) for row in learned] == [
        {float(c.num_tokens % 2 == 0)} for c in ended
    ]
    assert [step.metrics["loss"] for step in steps] == [1.0, 0.0, 0.0, 0.0, 0.0]
