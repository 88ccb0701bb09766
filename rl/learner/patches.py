"""Changes to third-party libraries that the learner needs; each says why and what retires it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def skip_compiled_collectives() -> None:
    """Keeps DeepSpeed from compiling a C++ extension when it starts on a CPU.

    DeepSpeed 0.19.8 builds `deepspeed_shm_comm` with the system's compiler (45 s on two cores, and
    a machine without one fails) although only inference all-reduces use it. Retired when DeepSpeed
    has a setting for it.
    """
    import deepspeed

    deepspeed.ops.__dict__.setdefault("__compatible_ops__", {})["deepspeed_shm_comm"] = False


@contextmanager
def loads_universal(engine: Any) -> Iterator[None]:
    """Inside, the engine's `load_checkpoint` reads DeepSpeed's universal format.

    DeepSpeed 0.19.8 is told so when an engine is made, before it is known which ranks saved the
    checkpoint; and a run may go back to an older one. Retired when `load_checkpoint` is told.
    """
    engine._config.load_universal_checkpoint = True
    try:
        yield
    finally:
        engine._config.load_universal_checkpoint = False
