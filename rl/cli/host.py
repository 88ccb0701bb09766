"""What a process keeps when a run has ended: the event loop, the engine, the process group."""

from dataclasses import fields, replace
from typing import Any

from rl.cli.model_folder import draft_model_path, model_path
from rl.cli.options import build
from rl.config import RunConfig
from rl.learner.process_group import Ranks, start_process_group, stop_process_group
from rollout.background import BackgroundLoop
from rollout.config import RolloutConfig, TransformersConfig, VllmConfig
from rollout.replication.engine import ReplicatedEngine
from rollout.supervisor import Started
from rollout.transfer import PolicyEngine


class Host:
    """Runs follow one another on a host and share its engine; `close` ends everything.

    An engine takes 12 to 22 s to start; the weights of the next run reach it like any others. Its
    own generator goes on, so that unseeded samples depend on what ran before.
    """

    def __init__(self) -> None:
        self.loop = BackgroundLoop()
        self._ranks: Ranks | None = None
        self._started: Started[PolicyEngine] | None = None
        self._serves: tuple[Any, ...] = ()

    def ranks(self) -> Ranks:
        """The process group of the learners; DeepSpeed allows one per process."""
        self._ranks = self._ranks or start_process_group()
        return self._ranks

    def engine(self, config: RunConfig, version: int) -> Started[PolicyEngine]:
        """An engine for `config`: the one that runs where it fits, else another in its place."""
        if self._started is None or self._serves != engine_settings(config):
            return self.another_engine(config, version)
        return self._started

    def another_engine(self, config: RunConfig, version: int) -> Started[PolicyEngine]:
        """Ends the engine there is, which may be lost already, and starts one for `config`."""
        self._end_engine()
        self._started = start_engine(config, self.loop, version)
        self._serves = engine_settings(config)
        return self._started

    def close(self) -> None:
        self._end_engine()
        if self._ranks:
            stop_process_group()
        self.loop.close()

    def _end_engine(self) -> None:
        if self._started:
            self._started.transfer.close()
            self._started.engine.shutdown()
            self._started = None


def engine_settings(config: RunConfig) -> tuple[Any, ...]:
    """What an engine is started with: runs that agree in it can share one.

    Of the rollout's options those that the kind of engine adds to what every rollout has.
    """
    rollout = config.rollout
    kind = next(k for k in (VllmConfig, TransformersConfig) if isinstance(rollout, k))
    shared = {field.name for field in fields(RolloutConfig)}
    names = [field.name for field in fields(kind) if field.name not in shared]
    return (
        kind,
        *(getattr(rollout, name) for name in names),
        rollout.sync_bucket_mib,
        model_path(config),
        config.model.dtype,
        room(config),
        config.deterministic,
    )


def room(config: RunConfig) -> int:
    """Tokens of the longest prompt and the longest response together."""
    return config.rollout.max_prompt_tokens + config.limit.max_response_tokens


def served(config: RunConfig) -> RolloutConfig:
    """The rollout's options with the draft model, if any, where vLLM finds it."""
    rollout, path = config.rollout, draft_model_path(config)
    if not (isinstance(rollout, VllmConfig) and path):
        return rollout
    return replace(rollout, draft_model=replace(rollout.draft_model, path=path))


def start_engine(config: RunConfig, loop: BackgroundLoop, version: int) -> Started[PolicyEngine]:
    """The recipe's engine, with room for the longest prompt and the longest response."""
    engine: PolicyEngine = build(
        "rollout",
        served(config),
        loop=loop,
        model_path=model_path(config),
        dtype=config.model.dtype,
        max_model_tokens=room(config),
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
    watches_itself = isinstance(engine, ReplicatedEngine)
    return Started(engine=engine, transfer=transfer, watches_itself=watches_itself)
