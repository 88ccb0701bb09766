"""How the answers of a run are sampled: one by one or as trees, in one go or window by window."""

from collections.abc import Callable
from functools import partial

from rl.cli.inputs import read_tokenizer
from rl.config import RunConfig
from rollout.config import RecordingConfig, Speculation, VllmConfig
from rollout.continuation import Decode
from rollout.drafting.acceptance import Acceptance
from rollout.engine import EngineLost, InterruptibleEngine, SampleGroup, independently
from rollout.samplings import StreamSettings
from rollout.supervisor import Supervisor
from rollout.transfer import PolicyEngine
from rollout.trees.sampler import tree_sampling
from rollout.windows.engine import WindowedEngine
from rollout.windows.pool import WindowPool


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
        updates_ahead=0 if replays else config.rollout.max_staleness,
    )


def group_sampling(config: RunConfig) -> SampleGroup:
    """How the answers to a prompt are sampled: one by one, or as a tree."""
    if config.rollout.tree.depth == 1:
        return independently
    return tree_sampling(config.rollout.tree, decoder(config))


def windows(config: RunConfig, engine: InterruptibleEngine) -> WindowedEngine | None:
    """The engine with answers cut into windows, where the recipe asks for them."""
    if not config.rollout.window_tokens:
        return None
    return WindowedEngine(engine, WindowPool(config.rollout.window_tokens, decoder(config)))


def draft_counts(config: RunConfig, engine: Supervisor[PolicyEngine]) -> Callable[[], Acceptance]:
    """What became of the run's drafts since the last call; those of a lost engine are lost too."""
    rollout = config.rollout
    if not (isinstance(rollout, VllmConfig) and rollout.speculation is Speculation.history):
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
