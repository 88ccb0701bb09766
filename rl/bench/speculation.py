"""`laconic bench speculation`: tokens per second of a rollout phase, drafts from history or not.

Two engines answer the same prompts by the same weights, in turn. Between two phases the learner
trains on our answers and publishes to both. An epoch later the prompts come again, and with them
the history that is drafted from: what counts is the second epoch and those after it; the first has
prompts that nobody answered before. Every number of running sequences has prompts of its own, so
that none drafts from the answers of another one.

A larger `size` is the lab's model with further layers that add nothing to what they are given: the
same answers at a higher cost. `drafts=wrong` plants a history that misleads: the price of drafting
where nothing is accepted.
"""

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from data.config import ModelConfig
from data.types import Completion, Group, Prompt
from rewards.answers import boxed_answer
from rl.algorithms.aggregation import row_weights
from rl.algorithms.grpo import GrpoConfig, grpo_advantages
from rl.bench.bench import Ratio, Result, paired_ratio
from rl.bench.lab import deepened, lab_prompts
from rl.bench.step import LAB_MODEL
from rl.bench.stream import LAB, LIMIT, MAX_PROMPT_TOKENS
from rl.config import LearnerConfig, RunConfig
from rl.learner.batch import minibatches_of, rows_of
from rollout.background import BackgroundLoop
from rollout.config import Speculation, VllmConfig
from rollout.drafting.acceptance import Acceptance
from rollout.drafting.config import HistoryConfig
from rollout.engine import Sampling
from rollout.samplings import Request, Samplings, StreamSettings
from rollout.transfer import HeldTransfer

if TYPE_CHECKING:
    from rl.learner.ranks import LearnerGroup
    from rollout.vllm.engine import VllmEngine

logger = logging.getLogger(__name__)

HEADLINE = 32
GROUP_SIZE = 8
EPOCHS = 3
MAX_NUM_SEQS = 256
LEARNING_RATE = 1.5e-4
QUIET_SECONDS = 1.2
"""An engine that has nothing to do keeps a core busy for the first second."""

OURS: Mapping[str, Any] = {"speculation": Speculation.history}
THEIRS: Mapping[str, Mapping[str, Any]] = {
    "off": {},
    "suffix": {"speculation": Speculation.suffix},
    **{
        f"fixed_{length}": {**OURS, "history": HistoryConfig(draft_length=length)}
        for length in (1, 2, 4, 8)
    },
}
"""What is measured against: `fixed_K` are our drafts, always K tokens, without the controller."""
DRAFTS = {
    "history": "rollout.vllm.history_proposer.HistoryProposer",
    "wrong": "rl.bench.wrong_drafts.WrongProposer",
}
"""The class of our drafter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A model of `layers` layers, and what fits the time that it takes.

    `prompts` of a phase by the number of sequences that run at once.
    """

    layers: int
    prompts: Mapping[int, int]
    steps_per_epoch: int


SIZES = {
    "0.5M": Size(layers=3, prompts={1: 1, 8: 4, 32: 16, 256: 32}, steps_per_epoch=8),
    "5M": Size(layers=30, prompts={1: 1, 8: 4, 32: 16, 256: 32}, steps_per_epoch=4),
    "50M": Size(layers=303, prompts={1: 1, 8: 2, 32: 8}, steps_per_epoch=2),
}
"""By the number of parameters; the first is the lab's model as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One rollout phase; `drafts` counts what became of our drafts."""

    groups: Sequence[Group]
    seconds: float
    drafts: Acceptance

    @property
    def completions(self) -> list[Completion]:
        return [completion for group in self.groups for completion in group.completions]

    @property
    def tokens_per_second(self) -> float:
        return sum(len(c.token_ids) for c in self.completions) / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two engines, with its phases so far by the number of running sequences."""

    loop: BackgroundLoop
    engine: "VllmEngine"
    transfer: HeldTransfer
    phases: dict[int, list[Phase]] = field(default_factory=dict)

    def sample(
        self, prompts: Mapping[int, Sequence[Prompt]], temperature: float, step: int
    ) -> None:
        """A phase on each number of running sequences, on its prompts of this step."""
        time.sleep(QUIET_SECONDS)
        for running, asked in prompts.items():
            began = time.perf_counter()
            groups = self.loop.run(answered(self.engine, asked, running, temperature, step))
            seconds = time.perf_counter() - began
            phase = Phase(groups=groups, seconds=seconds, drafts=self.engine.draft_acceptance())
            self.phases.setdefault(running, []).append(phase)


async def answered(
    engine: "VllmEngine", prompts: Sequence[Prompt], running: int, temperature: float, step: int
) -> list[Group]:
    """The group of each prompt, at most `running` completions of them at once."""
    samplings = Samplings(StreamSettings(group_size=GROUP_SIZE, temperature=temperature))
    free = asyncio.Semaphore(running)

    async def one(prompt: Prompt, sampling: Sampling) -> Completion:
        async with free:
            return await engine.sample(prompt, sampling)

    async def group(prompt: Prompt) -> Group:
        asked = samplings(Request(prompt=prompt, limit=LIMIT, step=step))
        completions = await asyncio.gather(*(one(prompt, sampling) for sampling in asked))
        return Group(prompt=prompt, completions=tuple(completions))

    return list(await asyncio.gather(*map(group, prompts)))


def run(against: str, size: str, temperature: str, drafts: str, epochs: int = EPOCHS) -> Result:
    """Our tokens per second over those of `against`, at `HEADLINE` running sequences.

    `extra` has a row for every number of running sequences.
    """
    shape = SIZES[size]
    steps = shape.steps_per_epoch
    with contenders(against, shape, DRAFTS[drafts]) as (ours, theirs, learner):
        prompts = phase_prompts(shape)
        for step in range(epochs * steps):
            now = {running: asked[step % steps] for running, asked in prompts.items()}
            # Who was last is first in the next phase: nobody gains from the machine's warmth.
            for side in (ours, theirs) if step % 2 else (theirs, ours):
                side.sample(now, float(temperature), step)
            train(learner, [g for phases in ours.phases.values() for g in phases[-1].groups])
            for side in (ours, theirs):
                learner.publish(side.transfer, step + 1)
            logger.info("step %d of %d: %s", step + 1, epochs * steps, told(ours, theirs))
    rows = [
        row(running, ours.phases[running], theirs.phases[running], steps)
        for running in shape.prompts
    ]
    headline = ratio(ours.phases[HEADLINE][steps:], theirs.phases[HEADLINE][steps:])
    return Result(
        name="speculation",
        against=against,
        **headline._asdict(),
        setting={
            "model": f"lab:{LAB_MODEL.name}",
            "size": size,
            "running": HEADLINE,
            "epochs": epochs,
            "updates_per_epoch": steps,
            "group_size": GROUP_SIZE,
            "temperature": float(temperature),
            "drafts": drafts,
            "cores": os.cpu_count(),
        },
        extra={"rows": rows},
    )


@contextmanager
def contenders(
    against: str, size: Size, proposer: str
) -> Iterator[tuple[Side, Side, "LearnerGroup"]]:
    """Ours with the drafter class `proposer`, theirs, and the learner of both; ended on leaving.

    The learner has the lab's own layers, which alone are published: the others stay as they are.
    """
    from rl.learner.process_group import stop_process_group

    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="laconic-bench-")))
        model = deepened(LAB_MODEL, folder / "model", size.layers)
        loop = parts.enter_context(closing(BackgroundLoop()))
        with patch("rollout.vllm.start.HISTORY_PROPOSER", proposer):
            ours = side(parts, loop, model, OURS)
        theirs = side(parts, loop, model, THEIRS[against])
        parts.callback(stop_process_group)
        yield ours, theirs, parts.enter_context(closing(start_learner()))


def side(parts: ExitStack, loop: BackgroundLoop, model: Path, options: Mapping[str, Any]) -> Side:
    """An engine with the `options` of `VllmConfig`, closed with `parts`."""
    from rollout.vllm.start import start_engine

    config = VllmConfig(max_num_seqs=MAX_NUM_SEQS, **options)
    engine = start_engine(
        config,
        loop=loop,
        model_path=str(model),
        dtype="float32",
        max_model_tokens=MAX_PROMPT_TOKENS + LIMIT,
    )
    parts.callback(engine.shutdown)
    transfer = parts.enter_context(closing(engine.start_transfer(config.sync_bucket_mib)))
    return Side(loop=loop, engine=engine, transfer=transfer)


def start_learner() -> "LearnerGroup":
    """The lab's policy under the settings of recipes/lab/grpo.yaml, in this process alone."""
    from rl.learner.deepspeed_learner import DeepSpeedLearner
    from rl.learner.process_group import start_process_group
    from rl.learner.ranks import LearnerGroup

    config = RunConfig(
        model=ModelConfig(path=str(LAB_MODEL), dtype="float32"),
        algorithm=GrpoConfig(),
        learner=LearnerConfig(zero_stage=0, learning_rate=LEARNING_RATE),
    )
    ranks = start_process_group()
    return LearnerGroup(DeepSpeedLearner(config, str(LAB_MODEL), ranks), config, ranks)


def phase_prompts(size: Size) -> dict[int, list[list[Prompt]]]:
    """By running sequences the prompts of each step of an epoch; no prompt is drawn twice."""
    total = size.steps_per_epoch * sum(size.prompts.values())
    prompts = iter(lab_prompts(LAB, total, MAX_PROMPT_TOKENS))
    return {
        running: [[next(prompts) for _ in range(count)] for _ in range(size.steps_per_epoch)]
        for running, count in size.prompts.items()
    }


def train(learner: "LearnerGroup", groups: Sequence[Group]) -> None:
    """One update by GRPO; a right answer is worth 1."""
    config = GrpoConfig()
    advantages = [
        grpo_advantages([float(boxed_answer(c.text) == g.prompt.answer) for c in g.completions])
        for g in groups
    ]
    weigh = row_weights(config.aggregation, LIMIT)
    learner.update(minibatches_of(rows_of(groups, advantages, version=0), config, weigh))


def told(ours: Side, theirs: Side) -> str:
    """The last phases, in words."""
    return "; ".join(
        f"{running} running: {ours.phases[running][-1].tokens_per_second:.0f} tokens/s against "
        f"{theirs.phases[running][-1].tokens_per_second:.0f}, drafts of "
        f"{ours.phases[running][-1].drafts.draft_length:.2f} tokens, "
        f"{ours.phases[running][-1].drafts.accepted_length:.2f} a step"
        for running in ours.phases
    )


def row(
    running: int, ours: Sequence[Phase], theirs: Sequence[Phase], steps_per_epoch: int
) -> dict[str, Any]:
    """What is told of one number of running sequences, from the second epoch on."""
    first, later = slice(0, steps_per_epoch), slice(steps_per_epoch, None)
    drafts = Acceptance()
    for phase in ours[later]:
        drafts.add(phase.drafts)
    completions = [completion for phase in ours[later] for completion in phase.completions]
    return {
        "running": running,
        **rounded(ratio(ours[later], theirs[later])),
        "first_epoch": rounded(ratio(ours[first], theirs[first])),
        "ours_tokens_per_second": [round(phase.tokens_per_second) for phase in ours],
        "their_tokens_per_second": [round(phase.tokens_per_second) for phase in theirs],
        "accepted_length": round(drafts.accepted_length, 2),
        "draft_acceptance": round(drafts.draft_acceptance, 3),
        "draft_length": round(drafts.draft_length, 2),
        "response_tokens": round(float(np.mean([len(c.token_ids) for c in completions])), 1),
        "entropy": round(-float(np.concatenate([c.logprobs for c in completions]).mean()), 3),
    }


def ratio(ours: Sequence[Phase], theirs: Sequence[Phase]) -> Ratio:
    return paired_ratio(
        [phase.tokens_per_second for phase in ours], [phase.tokens_per_second for phase in theirs]
    )


def rounded(found: Ratio) -> dict[str, float]:
    return {name: round(value, 3) for name, value in found._asdict().items()}
