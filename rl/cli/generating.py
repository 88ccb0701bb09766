"""How the answers of a run are sampled: one by one or as trees, in one go, cut or in windows."""

from collections.abc import Callable
from functools import partial

from data.types import Prompt
from rl.algorithms.tppo import TPpoConfig
from rl.cli.inputs import read_tokenizer
from rl.config import RunConfig
from rollout.config import RecordingConfig, Speculation, VllmConfig
from rollout.continuation import Decode
from rollout.drafting.acceptance import Acceptance
from rollout.engine import (
    EngineLost,
    InterruptibleEngine,
    SampleGroup,
    Sampling,
    independently,
)
from rollout.replication.engine import Predict
from rollout.samplings import StreamSettings
from rollout.scheduling.length_history import LengthHistory
from rollout.scheduling.oversample import groups_ahead
from rollout.supervisor import Supervisor
from rollout.transfer import PolicyEngine
from rollout.trees.rounds import in_step
from rollout.trees.sampler import tree_sampling
from rollout.windows.engine import WindowedEngine
from rollout.windows.pool import WindowPool

COUNTED = (Speculation.history, Speculation.draft_model)
"""Drafters whose drafts an engine counts."""


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
        groups_per_update=config.prompts_per_step,
        max_staleness=config.num_steps if replays else config.rollout.max_staleness,
        groups_ahead=0 if replays else sampled_ahead(config),
        cuts=config.rollout.oversample > 1,
    )


def sampled_ahead(config: RunConfig) -> int:
    """Groups that run beside those of an update: the spare ones, or all that may grow old."""
    if config.rollout.oversample > 1:
        return groups_ahead(config.prompts_per_step, config.rollout.oversample)
    return config.rollout.max_staleness * config.prompts_per_step


def group_sampling(config: RunConfig) -> SampleGroup:
    """How the answers to a prompt are sampled: one by one, or as a tree.

    In deterministic mode the trees grow in step.
    """
    if config.rollout.tree.depth == 1:
        return independently
    trees = tree_sampling(config.rollout.tree, decoder(config))
    return in_step(trees) if config.deterministic else trees


def windows(config: RunConfig, engine: InterruptibleEngine) -> WindowedEngine | None:
    """The engine with answers that can be cut, where the recipe asks for windows or cuts steps."""
    rollout = config.rollout
    if not rollout.window_tokens and rollout.oversample == 1:
        return None
    window = rollout.window_tokens or config.limit.max_response_tokens
    return WindowedEngine(engine, WindowPool(window, decoder(config)))


def predicting(lengths: LengthHistory) -> Predict:
    """What replicas are chosen by: the tokens that `lengths` predicts, within a request's limit."""

    def predict(prompt: Prompt, sampling: Sampling) -> int:
        predicted = round(lengths.predicted(prompt.id))
        return min(predicted, sampling.limit) or sampling.limit

    return predict


def trains_windows(config: RunConfig) -> bool:
    """Whether a step trains on its windows as they are, ended or not (T-PPO)."""
    return isinstance(config.algorithm, TPpoConfig)


def draft_counts(config: RunConfig, engine: Supervisor[PolicyEngine]) -> Callable[[], Acceptance]:
    """What became of the run's drafts since the last call; those of a lost engine are lost too."""
    rollout = config.rollout
    if not (isinstance(rollout, VllmConfig) and rollout.speculation in COUNTED):
        return Acceptance

    def counted() -> Acceptance:
        try:
            return engine.engine.draft_acceptance()
        except EngineLost:
            return Acceptance()

    return counted


def decoder(config: RunConfig) -> Decode:
    """From token ids to the text that the engine would return."""
    tokenizer = read_tokenizer(config)
    return partial(tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False)
