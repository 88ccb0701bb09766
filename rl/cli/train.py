"""Training, wired: a resolved config becomes objects, then one call runs them to the end.

Rank 0 leads: it owns data, engine, stream and loop. The other ranks serve the learner.
"""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import yaml

from data.memory import PromptMemory
from data.sampler import PromptSampler
from data.types import Prompt
from rewards.protocols import Verifier
from rl.algorithms.dynamic_sampling import Oversampling
from rl.algorithms.table import group_advantages
from rl.cli.inputs import read_inputs
from rl.cli.judging import (
    build_reward,
    build_verifier,
    check_user_code,
    group_filter,
    group_revision,
    start_pool,
    training_verifier,
)
from rl.cli.options import build
from rl.cli.problems import LAB, model_path
from rl.cli.recipe import RecipeError
from rl.cli.record import given_recording, own_recording
from rl.config import RunConfig
from rl.errors import Interrupted
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import start_process_group, stop_process_group
from rl.learner.ranks import LearnerGroup, serve
from rl.run.guards import Watch, read_history
from rl.run.interrupts import Interrupts
from rl.run.journal import Journal
from rl.run.judge import Judge
from rl.run.loop import Run
from rl.run.probe import Probe
from rl.run.progress import RunProgress
from rl.run.references import Recorded, check_logprobs
from rl.run.session import Start, open_run, run_to_end
from rl.run.tracker import start_tracker
from rollout.background import BackgroundLoop
from rollout.config import RecordingConfig
from rollout.fingerprint import fingerprint, stale_parameters
from rollout.recovery import Patience
from rollout.replay import ReferenceEngine
from rollout.stream import Stream, StreamSettings
from rollout.supervisor import Started, Supervisor
from rollout.transfer import PolicyEngine

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
        learner = DeepSpeedLearner(config, model_path(config), start_process_group())
        interrupts.protect()
        serve(learner)
        stop_process_group()
    if interrupts.signal:
        raise Interrupted(interrupts.signal)


def lead(config: RunConfig, recipe: str, resolved: str) -> None:
    """Rank 0: reads the data, starts the parts, runs to the end, stops them in reverse order."""
    try:
        check_user_code(config)
        limit = build("limit", config.limit)
        inputs = read_inputs(config)
        given = given_recording(config, inputs.training)
        start = open_run(config, recipe, resolved)
    except ValueError as error:
        raise RecipeError([str(error)]) from error
    with ExitStack() as parts:
        interrupts = parts.enter_context(Interrupts())
        journal = start_journal(parts, config, start, resolved)
        loop = parts.enter_context(closing(BackgroundLoop()))
        started = start_engine(config, loop, start.step)
        parts.callback(started.engine.shutdown)
        journal.progress.note(f"{started.engine.name} is ready")
        learner = start_learner(parts, config)
        engine = supervise(config, loop, started, learner)
        pool = start_pool(parts, config.verifier, loop)
        journal.judging_seconds = lambda: pool.busy_seconds
        verifier = build_verifier(config, pool)
        verify = training_verifier(config, pool, verifier)
        recorded = given or own_recording(engine, verify, config, start.folder, inputs.training)
        if recorded:
            check_logprobs(recorded, config, learner)
        stream = start_stream(parts, config, engine, verify, journal, recorded)
        memory = PromptMemory()
        run = Run(
            config=config,
            sampler=PromptSampler(inputs.training, config.seed),
            memory=memory,
            oversampling=Oversampling(config.algorithm.oversampling),
            limit=limit,
            stream=stream,
            reward=build_reward(
                config, parts, loop, memory, recorded.references if recorded else None
            ),
            advantages=group_advantages(config.algorithm),
            learner=learner,
            transfer=engine,
            interrupts=interrupts,
            probe=build_probe(config, engine, learner, inputs.held_out or inputs.training),
        )
        judge = Judge(
            engine=engine,
            loop=engine,
            verifier=verifier,
            problems=inputs.held_out,
            config=config,
            journal=journal,
            interrupts=interrupts,
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


def start_engine(config: RunConfig, loop: BackgroundLoop, version: int) -> Started[PolicyEngine]:
    """The recipe's engine, with room for the longest prompt and the longest response."""
    engine: PolicyEngine = build(
        "rollout",
        config.rollout,
        loop=loop,
        model_path=model_path(config),
        dtype=config.model.dtype,
        max_model_tokens=config.rollout.max_prompt_tokens + config.limit.max_response_tokens,
        weight_version=version,
        seed=config.seed,
    )
    try:
        transfer = engine.start_transfer(config.rollout.sync_bucket_mib)
    except BaseException:
        engine.shutdown()
        raise
    if config.deterministic:
        engine.admit_together()
    return Started(engine=engine, transfer=transfer)


def supervise(
    config: RunConfig,
    loop: BackgroundLoop,
    first: Started[PolicyEngine],
    learner: LearnerGroup,
) -> Supervisor[PolicyEngine]:
    """The engine of the run: the `first` one and those that take its place."""
    patience = Patience(
        hang_seconds=config.rollout.hang_seconds,
        max_restarts=config.rollout.max_restarts,
        window_seconds=config.rollout.restart_window_seconds,
    )
    start_another = partial(start_engine, config, loop)
    return Supervisor(first, start_another, learner.publish, loop, patience)


def start_learner(parts: ExitStack, config: RunConfig) -> LearnerGroup:
    """The learner on this rank, leading those of the other ranks."""
    ranks = start_process_group()
    parts.callback(stop_process_group)
    learner = LearnerGroup(DeepSpeedLearner(config, model_path(config), ranks), config, ranks)
    parts.enter_context(closing(learner))
    return learner


def start_stream(
    parts: ExitStack,
    config: RunConfig,
    engine: Supervisor[PolicyEngine],
    verify: Verifier,
    journal: Journal,
    recorded: Recorded | None,
) -> Stream:
    """The stream of the run, closed with `parts` after the engine has been shut down.

    What is recorded comes out of it in the place of what the engine would sample.
    """
    replay = ReferenceEngine(recorded.judged) if recorded else None
    stream = Stream(
        replay or engine, replay.verify if replay else verify, group_filter(config), engine,
        stream_settings(config), journal.fate, group_revision(config),
    )  # fmt: skip
    engine.on_reissue = stream.reissued
    parts.enter_context(closing(stream))
    # Ends first: an engine that is lost while the run ends is not replaced.
    parts.callback(engine.shutdown)
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


def stream_settings(config: RunConfig) -> StreamSettings:
    """How the stream samples; a seed per completion in deterministic mode only (it costs time).

    Recorded completions are as old as the run, and none is too old.
    """
    replays = isinstance(config.rollout, RecordingConfig)
    return StreamSettings(
        group_size=config.algorithm.group_size,
        temperature=config.rollout.temperature,
        top_p=config.rollout.top_p,
        seed=config.seed if config.deterministic else None,
        max_staleness=config.num_steps if replays else config.rollout.max_staleness,
    )


def lab_version(config: RunConfig) -> str:
    """The frozen lab's version for a run on lab data, else empty."""
    if not config.data.path.startswith("lab:"):
        return ""
    return str(json.loads((LAB / "lab.json").read_text())["lab_version"])
