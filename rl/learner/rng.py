"""The global random number generators of this process: python's, numpy's, torch's.

LoRA's dropout draws from torch's. A checkpoint holds them for every rank; a user's reward draws in
a process of its own, which `rewards.process` seeds.
"""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.wire import decode, encode

State = dict[str, Any]


def seed_generators(seed: int) -> None:
    """Seeds all of them alike; CUDA's too."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def generators() -> State:
    """The state of all of them; msgpack can hold it."""
    version, internal, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, list(internal), gauss],
        "numpy": [kind, np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state().numpy().tobytes(),
        "cuda": [state.numpy().tobytes() for state in _cuda_states()],
    }


def set_generators(state: State) -> None:
    """Continues from `generators()`."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), position, has_gauss, cached))
    torch.set_rng_state(_tensor(state["torch"]))
    if state["cuda"]:
        torch.cuda.set_rng_state(_tensor(state["cuda"][0]))


def write_generators(folder: Path, rank: int) -> None:
    """Writes those of this rank beside the learner's files."""
    _path(folder, rank).write_bytes(encode(generators()))


def read_generators(folder: Path, rank: int) -> None:
    """Restores those of this rank; one that the checkpoint does not know goes on as its rank 0."""
    own = _path(folder, rank)
    found = own if own.is_file() else _path(folder, 0)
    set_generators(decode(found.read_bytes(), State))


def _path(folder: Path, rank: int) -> Path:
    return folder / f"generators_{rank}.msgpack"


def _cuda_states() -> list[torch.Tensor]:
    return [torch.cuda.get_rng_state()] if torch.cuda.is_available() else []


def _tensor(content: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)
