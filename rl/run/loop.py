"""The training loop: draw, limit, roll out, score, credit, update, publish, log.

Rank 0 runs it; the other ranks serve the learner (`rl.learner.ranks`). A method changes the parts
of `Run`, never this file. The synchronous loop is the asynchronous one at staleness 0: the stream
then has room for one update's groups, and nothing is sampled while the learner updates.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from data.memory import PromptMemory
from data.sampler import PromptSampler
from data.types import Group, Prompt, Score, Verdict
from rewards.protocols import Reward
from rl.algorithms.dynamic_sampling import Oversampling
from rl.allocation.allocation import Allocation
from rl.config import RunConfig
from rl.errors import NoBatchError
from rl.learner.ranks import LearnerGroup
from rl.limits.limit import Limit
from rl.run.credit import Credit, train_on
from rl.run.interrupts import Interrupts
from rl.run.probe import Probe
from rl.run.stopwatch import Spans, Stopwatch
from rollout.samplings import Request
from rollout.scheduling.length_history import LengthHistory
from rollout.scheduling.priorities import Rank
from rollout.stream import Judged, Stream
from rollout.transfer import Transfer
from rollout.windows.stream import WindowStream


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one pass of the loop produced; handed to logging and to the checkpoint."""

    index: int
    groups: Sequence[Group]
    verdicts: Sequence[Sequence[Verdict]]
    scores: Sequence[Sequence[Score]]
    advantages: Sequence[Sequence[float]]
    metrics: dict[str, float]
    spans: Spans


RolledOut = tuple[list[Group], list[list[Verdict]], float]
"""The judged groups of one update, and the share of the judged groups that was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The parts that the loop calls, each behind its own seam."""

    config: RunConfig
    sampler: PromptSampler
    memory: PromptMemory
    oversampling: Oversampling
    allocation: Allocation
    limit: Limit
    stream: Stream
    roll_out: "Callable[[Run, int], RolledOut]"
    reward: Reward
    credit: Credit
    learner: LearnerGroup
    transfer: Transfer
    rest: Callable[[], AbstractContextManager[None]]
    """See `PolicyEngine.rest`."""
    probe: Probe
    interrupts: Interrupts
    lengths: LengthHistory
    rank: Rank

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds beside the learner; JSON-able.

        Prompts whose groups are still open count as not drawn: a resumed run samples them anew.
        With windows their groups go on instead.
        """
        return {
            "sampler": self.sampler.state(given_back=self.stream.given_back()),
            "stream": self.stream.state(),
            "memory": self.memory.state(),
            "oversampling": self.oversampling.state(),
            "allocation": self.allocation.state(),
            "limit": self.limit.state(),
            "lengths": self.lengths.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.stream.clear()
        self.stream.load(state["stream"])
        self.sampler.load(state["sampler"])
        self.memory.load(state["memory"])
        self.oversampling.load(state["oversampling"])
        self.allocation.load(state["allocation"])
        self.limit.load(state["limit"])
        self.lengths.load(state["lengths"])


AfterStep = Callable[[Run, Step], None]
"""Logs a finished step, evaluates and saves when it is time."""


def train(run: Run, first_step: int, after_step: AfterStep) -> None:
    """Trains from `first_step` to `config.num_steps`."""
    for index in range(first_step, run.config.num_steps):
        watch = Stopwatch()
        with run.interrupts.allowed(), watch("rollout"):
            groups, verdicts, kept_share = run.roll_out(run, index)
        with run.interrupts.allowed(), watch("score"):
            scores = run.reward(groups, verdicts)
        with watch("learn"), run.rest():
            metrics = run.allocation.observe(groups, verdicts, index, run.learner)
            batch = run.credit(groups, scores, index)
            metrics |= train_on(run.learner, batch)
        with watch("sync"):
            metrics |= run.learner.publish(run.transfer, index + 1)
        with watch("probe"):
            metrics |= run.probe(index + 1)
        metrics["rollout/kept_share"] = kept_share
        run.oversampling.observe(kept_share)
        metrics |= run.limit.observe(groups, verdicts)
        after_step(
            run,
            Step(
                index=index + 1,
                groups=groups,
                verdicts=verdicts,
                scores=scores,
                advantages=batch.advantages,
                metrics=metrics,
                spans=watch.spans,
            ),
        )


def roll_out(run: Run, step: int) -> RolledOut:
    """Whole groups. Draws again for groups that the stream dropped."""
    wanted, updates_left = run.config.prompts_per_step, run.config.num_steps - step - 1
    judged: list[Judged] = []
    for _ in range(run.config.rollout.max_resampling_rounds):
        room = run.stream.room(updates_left)
        prompts = run.sampler.draw(run.oversampling.num_prompts(room))
        run.stream.submit(requests(run, prompts, step))
        judged += run.stream.next_batch(wanted - len(judged), version=step)
        if len(judged) == wanted:
            kept_share = run.stream.end_step()
            groups = [each.group for each in judged]
            run.lengths.observe(groups)
            return groups, [list(each.verdicts) for each in judged], kept_share
    raise NoBatchError(
        f"step {step}: {run.config.rollout.max_resampling_rounds} rounds of dynamic sampling found "
        f"{len(judged)} of {wanted} groups whose completions differ; the data are "
        "too easy or too hard for this policy: set algorithm.dynamic_sampling=false, other data, "
        "or a higher rollout.max_resampling_rounds"
    )


def requests(run: Run, prompts: Sequence[Prompt], step: int) -> list[Request]:
    """The groups of `prompts`, how far their answers may run, and which of them begin first."""
    return [
        Request(
            prompt=prompt,
            limit=run.limit.limit(prompt, step),
            step=step,
            rank=run.rank(run.lengths.predicted(prompt.id)),
        )
        for prompt in run.allocation.allocate(prompts, step)
    ]


def roll_out_windows(stream: WindowStream, run: Run, step: int) -> RolledOut:
    """One window of all that is under way; the responses that ended in it, by prompt.

    Those that go on wait in the stream (`WindowStream.begun`).
    """
    prompts = run.sampler.draw(stream.room(run.config.num_steps - step - 1))
    stream.submit(requests(run, prompts, step))
    judged = stream.next_windows()
    if not judged:
        raise NoBatchError(
            f"step {step}: every response was aborted or not judged, so that there is nothing to "
            "train on; look at history.jsonl and at the verifier"
        )
    kept_share = stream.end_step()
    return [j.group for j in judged], [list(j.verdicts) for j in judged], kept_share
