"""Training, wired: a resolved config becomes objects, then one call runs them to the end.

Rank 0 leads: it owns data, engine, stream and loop. The other ranks serve the learner.
"""

import json
import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import yaml

from data.sampler import PromptSampler
from data.types import Verdict
from rewards.compose import gated
from rewards.gates.none import NoGateConfig
from rewards.protocols import Reward
from rewards.verify import MathVerifier
from rl.algorithms.dynamic_sampling import keep
from rl.algorithms.table import group_advantages
from rl.cli.inputs import read_inputs
from rl.cli.options import build
from rl.cli.problems import LAB, model_path
from rl.cli.recipe import RecipeError
from rl.config import RunConfig
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import start_process_group, stop_process_group
from rl.learner.ranks import LearnerGroup, serve
from rl.run.journal import Journal
from rl.run.judge import Judge
from rl.run.loop import Run
from rl.run.probe import Probe
from rl.run.progress import RunProgress
from rl.run.session import Start, open_run, run_to_end
from rl.run.tracker import start_tracker
from rollout.background import BackgroundLoop
from rollout.stream import Stream, StreamSettings
from rollout.vllm.engine import VllmEngine
from rollout.vllm.fingerprint import fingerprint, stale_parameters
from rollout.vllm.transfer import start_transfer

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
    serve(DeepSpeedLearner(config, model_path(config), start_process_group()))
    stop_process_group()


def lead(config: RunConfig, recipe: str, resolved: str) -> None:
    """Rank 0: reads the data, starts the parts, runs to the end, stops them in reverse order."""
    try:
        inputs = read_inputs(config)
        start = open_run(config, recipe, resolved)
    except ValueError as error:
        raise RecipeError([str(error)]) from error
    with ExitStack() as parts:
        journal = start_journal(parts, config, start, resolved)
        loop = parts.enter_context(closing(BackgroundLoop()))
        engine = start_engine(parts, config, loop, start.step)
        journal.progress.note(f"{engine.name} is ready")
        learner = start_learner(parts, config)
        verifier = MathVerifier(config.verifier)
        parts.callback(lambda: loop.run(verifier.close()))
        stream = Stream(
            engine, verifier, group_filter(config), loop, stream_settings(config), journal.fate
        )
        parts.enter_context(closing(stream))
        run = Run(
            config=config,
            sampler=PromptSampler(inputs.training.prompts, config.seed),
            limit=build("limit", config.limit),
            stream=stream,
            reward=build_reward(config),
            advantages=group_advantages(config.algorithm),
            learner=learner,
            transfer=parts.enter_context(
                closing(start_transfer(engine, config.rollout.sync_bucket_mib))
            ),
            probe=Probe(
                engine=engine,
                loop=loop,
                learner=learner,
                prompts=inputs.held_out or inputs.training.prompts,
                config=config,
                stale_parameters=lambda: stale_parameters(
                    engine.fingerprints(),
                    learner.fingerprints(fingerprint),
                    STALE_TOLERANCE[config.model.dtype],
                ),
            ),
        )
        judge = Judge(
            engine=engine,
            loop=loop,
            verifier=verifier,
            problems=inputs.held_out,
            config=config,
            journal=journal,
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
        completions_per_step=config.log.completions_per_step,
        num_tokens=start.state.get("num_tokens", 0.0),
    )
    parts.callback(journal.flush)
    return journal


def start_engine(
    parts: ExitStack, config: RunConfig, loop: BackgroundLoop, version: int
) -> VllmEngine:
    """vLLM, with room for the longest prompt and the longest response."""
    engine: VllmEngine = build(
        "rollout",
        config.rollout,
        loop=loop,
        model_path=model_path(config),
        dtype=config.model.dtype,
        max_model_tokens=config.rollout.max_prompt_tokens + config.limit.max_response_tokens,
        weight_version=version,
        seed=config.seed,
    )
    parts.callback(engine.shutdown)
    return engine


def start_learner(parts: ExitStack, config: RunConfig) -> LearnerGroup:
    """The learner on this rank, leading those of the other ranks."""
    ranks = start_process_group()
    parts.callback(stop_process_group)
    learner = LearnerGroup(DeepSpeedLearner(config, model_path(config), ranks), config, ranks)
    parts.enter_context(closing(learner))
    return learner


def build_reward(config: RunConfig) -> Reward:
    """The recipe's reward, its length part gated."""
    reward: Reward = build("reward", config.reward)
    if isinstance(config.gate, NoGateConfig):
        return reward
    return gated(reward, build("gate", config.gate, config.seed))


def group_filter(config: RunConfig) -> Callable[[list[Verdict]], bool]:
    """Which groups are trained on: those of mixed outcome under dynamic sampling, else all."""
    return keep if config.algorithm.dynamic_sampling else lambda verdicts: True


def stream_settings(config: RunConfig) -> StreamSettings:
    """How the stream samples; a seed per completion in deterministic mode only (it costs time)."""
    return StreamSettings(
        group_size=config.algorithm.group_size,
        temperature=config.rollout.temperature,
        top_p=config.rollout.top_p,
        seed=config.seed if config.deterministic else None,
        max_staleness=config.rollout.max_staleness,
    )


def lab_version(config: RunConfig) -> str:
    """The frozen lab's version for a run on lab data, else empty."""
    if not config.data.path.startswith("lab:"):
        return ""
    return str(json.loads((LAB / "lab.json").read_text())["lab_version"])
