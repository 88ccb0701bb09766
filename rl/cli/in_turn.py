"""One engine for several models of one shape: their weights take their turns in it.

Starting vLLM takes longer than evaluating a small model, so a sweep and the sampling of pairs start
it once and send it each model's weights, as training does.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rewards.protocols import Verifier
from rl.cli.compose import compose
from rl.cli.installed import engine_problem
from rl.cli.machine import Machine
from rl.cli.recipe import RecipeError
from rl.cli.subject import NOT_ITS_OWN, subject
from rl.config import RunConfig
from rollout.background import BackgroundLoop
from rollout.engine import EngineError
from rollout.transfer import HeldTransfer, PolicyEngine

if TYPE_CHECKING:
    from torch import Tensor

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class InTurn:
    """A running engine, the verifier, and the loop that both live on."""

    config: RunConfig
    engine: PolicyEngine
    transfer: HeldTransfer
    loop: BackgroundLoop
    verifier: Verifier

    @property
    def bucket_bytes(self) -> int:
        """How much of a model is sent at once."""
        return self.config.rollout.sync_bucket_mib * MIB

    def put(self, buckets: "Iterator[Sequence[tuple[str, Tensor]]]") -> None:
        """Makes these whole weights the engine's; raises `EngineError` where it kept others."""
        import torch

        from rl.cli.train import STALE_TOLERANCE
        from rollout.fingerprint import fingerprint, stale_parameters

        # NCCL and CUDA IPC carry tensors of a GPU only.
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        sent: dict[str, Tensor] = {}
        self.transfer.start()
        for bucket in buckets:
            self.transfer.send([(name, tensor.to(device)) for name, tensor in bucket])
            sent |= {name: fingerprint(name, tensor) for name, tensor in bucket}
        self.transfer.finish(self.engine.weight_version + 1)
        tolerance = STALE_TOLERANCE[self.config.model.dtype]
        if stale := stale_parameters(self.engine.fingerprints(), sent, tolerance):
            raise EngineError(
                f"the engine did not take over {len(stale)} of {len(sent)} weights "
                f"({', '.join(stale[:3])}); evaluate each model by itself with `laconic eval`"
            )


def config_for(recipe: Path, overrides: Sequence[str], folder: Path, machine: Machine) -> RunConfig:
    """The recipe's configuration with the model in `folder`; raises `RecipeError`."""
    config = compose(
        recipe, [*NOT_ITS_OWN, *subject(str(folder), machine).overrides, *overrides], machine
    ).config
    if problem := engine_problem(config.rollout):
        raise RecipeError([problem])
    return config


@contextmanager
def started(config: RunConfig) -> Iterator[InTurn]:
    """The recipe's engine and verifier, ended on leaving."""
    from rl.cli.host import start_engine
    from rl.cli.judging import build_verifier, start_pool

    with ExitStack() as parts:
        loop = parts.enter_context(closing(BackgroundLoop()))
        running = start_engine(config, loop, version=0)
        parts.callback(running.engine.shutdown)
        parts.callback(running.transfer.close)
        verifier = build_verifier(config, start_pool(parts, config.verifier, loop))
        yield InTurn(
            config=config,
            engine=running.engine,
            transfer=running.transfer,
            loop=loop,
            verifier=verifier,
        )
