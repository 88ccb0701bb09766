"""Training, wired: a resolved config becomes objects, then one call runs them to the end.

Rank 0 leads: it owns data, engine, stream and loop. The other ranks serve the learner.
"""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

from data.memory import PromptMemory
from data.sampler import PromptSampler
from data.types import Prompt
from rewards.protocols import Verifier
from rl.algorithms.dynamic_sampling import Oversampling
from rl.algorithms.table import group_advantages, token_advantages
from rl.cli.generating import (
    draft_counts,
    group_sampling,
    predicting,
    stream_settings,
    trains_windows,
    windows,
)
from rl.cli.host import Host
from rl.cli.inputs import Inputs, read_inputs
from rl.cli.judging import (
    build_reward,
    build_verifier,
    check_user_code,
    group_filter,
    group_revision,
    start_pool,
    training_verifier,
)
from rl.cli.model_folder import LAB, draft_model_path, model_path
from rl.cli.options import build
from rl.cli.recipe import RecipeError
from rl.cli.record import given_recording, own_recording
from rl.config import ActorCriticConfig, RunConfig
from rl.errors import Interrupted
from rl.evaluate.evaluation import Evaluation
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import Ranks, start_process_group, stop_process_group
from rl.learner.ranks import LearnerGroup, serve
from rl.limits.limit import Limit
from rl.run.credit import Credit, critic_credit, group_credit, with_drafter
from rl.run.guards import Watch, read_history
from rl.run.interrupts import Interrupts
from rl.run.journal import Journal
from rl.run.judge import Judge
from rl.run.loop import Run, roll_out, roll_out_windows
from rl.run.probe import Probe
from rl.run.progress import RunProgress
from rl.run.references import Recorded, check_logprobs
from rl.run.session import Start, open_run, run_to_end
from rl.run.tracker import start_tracker
from rollout.config import RecordingConfig
from rollout.continuation import sampled_since
from rollout.fingerprint import fingerprint, stale_parameters
from rollout.recovery import Patience
from rollout.replay import ReferenceEngine
from rollout.replication.engine import ReplicatedEngine
from rollout.scheduling.length_history import LengthHistory
from rollout.scheduling.priorities import RANKS
from rollout.stream import Stream
from rollout.supervisor import Started, Supervisor
from rollout.transfer import PolicyEngine
from rollout.watched import WatchedEngine
from rollout.windows.stream import WindowStream

STALE_TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}
"""Largest relative difference of a parameter's fingerprint that rounding explains."""


def main(config: RunConfig, recipe: Path, resolved: str) -> None:
    """Runs `config`; called by every process of the run. `resolved` is saved as recipe.yaml."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    if int(os.environ.get("RANK", "0")) == 0:
        lead(config, recipe.stem, resolved)
    else:
        follow(config)


def follow(config: RunConfig) -> None:
    """A rank other than 0: holds its share of the learner and does as rank 0 says."""
    with Interrupts() as interrupts:
        learner = build_learner(config, start_process_group())
        interrupts.protect()
        serve(learner)
        stop_process_group()
    if interrupts.signal:
        raise Interrupted(interrupts.signal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run that was checked and has its folder; nothing heavy has started."""

    config: RunConfig
    resolved: str
    limit: Limit
    inputs: Inputs
    recorded: Recorded | None
    """What a file holds that the recipe names; a run without one records for itself."""
    start: Start


def prepare(config: RunConfig, recipe: str, resolved: str) -> Job:
    """Reads the data and makes the run's folder; raises RecipeError for what cannot run."""
    try:
        check_user_code(config)
        limit = build("limit", config.limit)
        inputs = read_inputs(config)
        recorded = given_recording(config, inputs.training)
        start = open_run(config, recipe, resolved)
    except ValueError as error:
        raise RecipeError([str(error)]) from error
    return Job(
        config=config,
        resolved=resolved,
        limit=limit,
        inputs=inputs,
        recorded=recorded,
        start=start,
    )


def lead(config: RunConfig, recipe: str, resolved: str) -> None:
    """Rank 0: one run on a host of its own."""
    job = prepare(config, recipe, resolved)
    with Interrupts() as interrupts, closing(Host()) as host:
        # The engine ends first: one that is lost while the run ends is not replaced.
        run_job(job, host, interrupts, Supervisor.shutdown)


def run_job(
    job: Job,
    host: Host,
    interrupts: Interrupts,
    leave: Callable[[Supervisor[PolicyEngine]], None],
    base: Evaluation | None = None,
) -> None:
    """Starts the parts, runs to the end, stops them in reverse order, the engine by `leave`.

    `base` is the evaluation before training where it is known already.
    """
    config, inputs, start = job.config, job.inputs, job.start
    with ExitStack() as parts:
        journal = start_journal(parts, config, start, job.resolved)
        started = host.engine(config, start.step)
        journal.progress.note(f"{started.engine.name} is ready")
        with started.engine.rest():
            learner = start_learner(parts, config, host)
        engine = supervise(config, host, started, learner)
        pool = start_pool(parts, config.verifier, host.loop)
        journal.judging_seconds = lambda: pool.busy_seconds
        journal.drafts = draft_counts(config, engine)
        journal.prompts = lambda: engine.engine.prompt_tokens()
        verifier = build_verifier(config, pool)
        verify = training_verifier(config, pool, verifier)
        recorded = references(job, engine, verify, learner)
        stream = start_stream(parts, config, engine, verify, journal, recorded)
        parts.callback(leave, engine)
        memory = PromptMemory()
        lengths = LengthHistory(memory)
        if isinstance(started.engine, ReplicatedEngine):
            started.engine.predict = predicting(lengths)
        run = Run(
            config=config,
            sampler=PromptSampler(inputs.training, config.seed),
            memory=memory,
            oversampling=Oversampling(config.algorithm.oversampling),
            allocation=build("allocation", config.allocation),
            limit=job.limit,
            stream=stream,
            roll_out=partial(roll_out_windows, stream)
            if isinstance(stream, WindowStream)
            else roll_out,
            reward=build_reward(
                config, parts, host.loop, memory, recorded.references if recorded else None
            ),
            credit=drafting_credit(config, build_credit(config, learner, stream)),
            learner=learner,
            transfer=engine,
            rest=lambda: engine.engine.rest(),
            interrupts=interrupts,
            probe=build_probe(config, engine, learner, inputs.held_out or inputs.training),
            lengths=lengths,
            rank=RANKS[config.rollout.schedule],
        )
        judge = Judge(
            engine=engine,
            loop=engine,
            verifier=verifier,
            problems=inputs.held_out,
            config=config,
            journal=journal,
            interrupts=interrupts,
            known_base=base,
        )
        run_to_end(run, start, judge, lab_version(config), inputs.data_counts)


def start_journal(parts: ExitStack, config: RunConfig, start: Start, resolved: str) -> Journal:
    """Progress, tracker and the run's files."""
    enabled = config.log.progress
    progress = parts.enter_context(RunProgress(config.num_steps, start.step, enabled=enabled))
    tracker = start_tracker(
        config.log.wandb, start.folder, config.log.project, yaml.safe_load(resolved)
    )
    parts.push(lambda kind, *_: tracker.close(exit_code=int(kind is not None)))
    progress.note(f"run folder {start.folder}")
    journal = Journal(
        folder=start.folder,
        tracker=tracker,
        progress=progress,
        log=config.log,
        watch=Watch(config.guards, read_history(start.folder)),
        num_tokens=start.state.get("num_tokens", 0.0),
    )
    parts.callback(journal.flush)
    return journal


def build_credit(config: RunConfig, learner: LearnerGroup, stream: Stream) -> Credit:
    """What tokens are worth: by the groups' scores, or by the values of the learner's critic."""
    algorithm = config.algorithm
    if not isinstance(algorithm, ActorCriticConfig):
        return group_credit(config, group_advantages(algorithm), learner.reference_logprobs)
    estimate = token_advantages(algorithm)
    if not isinstance(stream, WindowStream):
        return critic_credit(config, algorithm, estimate, learner.values)
    return critic_credit(
        config, algorithm, estimate, learner.values, trained=sampled_since, begun=stream.begun
    )


def drafting_credit(config: RunConfig, credit: Credit) -> Credit:
    """`credit`, with minibatches for the draft model where that learns."""
    options = config.learner.draft_model
    return with_drafter(credit, options.num_minibatches) if options.learning_rate else credit


def supervise(
    config: RunConfig,
    host: Host,
    first: Started[PolicyEngine],
    learner: LearnerGroup,
) -> Supervisor[PolicyEngine]:
    """The engine of the run: the `first` one and those that take its place."""
    patience = Patience(
        hang_seconds=config.rollout.hang_seconds,
        max_restarts=config.rollout.max_restarts,
        window_seconds=config.rollout.restart_window_seconds,
    )
    return Supervisor(
        first, partial(host.another_engine, config), learner.publish, host.loop, patience
    )


def start_learner(parts: ExitStack, config: RunConfig, host: Host) -> LearnerGroup:
    """The learner on this rank, leading those of the other ranks."""
    ranks = host.ranks()
    learner = LearnerGroup(build_learner(config, ranks), config, ranks)
    parts.enter_context(closing(learner))
    return learner


def build_learner(config: RunConfig, ranks: Ranks) -> DeepSpeedLearner:
    """This rank's share of the learner."""
    return DeepSpeedLearner(config, model_path(config), ranks, draft_model_path(config))


def references(
    job: Job, engine: Supervisor[PolicyEngine], verify: Verifier, learner: LearnerGroup
) -> Recorded | None:
    """What training takes in place of fresh samples; None for a recipe that samples."""
    config = job.config
    if not isinstance(config.rollout, RecordingConfig):
        return None
    recorded = job.recorded
    if recorded is None:
        # The engine may still hold the weights of a run before this one.
        learner.publish(engine, 0)
        recorded = own_recording(engine, verify, config, job.start.folder, job.inputs.training)
    check_logprobs(recorded, config, learner)
    return recorded


def start_stream(
    parts: ExitStack,
    config: RunConfig,
    engine: Supervisor[PolicyEngine],
    verify: Verifier,
    journal: Journal,
    recorded: Recorded | None,
) -> Stream:
    """The stream of the run, closed with `parts`.

    What is recorded comes out of it in the place of what the engine would sample.
    """
    replay, watched = ReferenceEngine(recorded.judged) if recorded else None, WatchedEngine(engine)
    journal.engine_stretch = watched.take
    cut, settings = windows(config, watched), stream_settings(config)
    if cut is not None and trains_windows(config):
        stream: Stream = WindowStream(cut, verify, engine, settings, journal.fate)
    else:
        stream = Stream(
            replay or watched, replay.verify if replay else verify, group_filter(config), engine,
            settings, journal.fate, group_revision(config), group_sampling(config), cut,
        )  # fmt: skip
    engine.on_reissue = stream.reissued
    parts.enter_context(closing(stream))
    return stream


def build_probe(
    config: RunConfig,
    engine: Supervisor[PolicyEngine],
    learner: LearnerGroup,
    prompts: Sequence[Prompt],
) -> Probe:
    """The probe of engine against learner, on some of `prompts`."""
    return Probe(
        engine=engine,
        loop=engine,
        learner=learner,
        prompts=prompts,
        config=config,
        stale_parameters=lambda: stale_parameters(
            engine.engine.fingerprints(),
            learner.fingerprints(fingerprint),
            STALE_TOLERANCE[config.model.dtype],
        ),
    )


def lab_version(config: RunConfig) -> str:
    """The frozen lab's version for a run on lab data, else empty."""
    if not config.data.path.startswith("lab:"):
        return ""
    return str(json.loads((LAB / "lab.json").read_text())["lab_version"])
