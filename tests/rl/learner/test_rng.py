import random
from pathlib import Path

import numpy as np
import pytest
import torch

from data.wire import decode, encode
from rl.learner.rng import (
    State,
    generators,
    read_generators,
    seed_generators,
    set_generators,
    write_generators,
)


@pytest.fixture(autouse=True)
def own_generators() -> object:
    """Other tests keep theirs."""
    before = generators()
    yield None
    set_generators(before)


def draws() -> list[float]:
    return [
        random.random(),
        random.gauss(0, 1),
        float(np.random.random()),
        float(np.random.normal()),
        float(torch.rand(())),
        float(torch.randn(())),
    ]


def test_all_generators_go_on_where_they_were(tmp_path: Path) -> None:
    seed_generators(3)
    draws()
    write_generators(tmp_path, rank=1)
    expected = [draws() for _ in range(5)]
    read_generators(tmp_path, rank=1)
    assert [draws() for _ in range(5)] == expected


def test_a_rank_that_did_not_save_goes_on_as_the_first(tmp_path: Path) -> None:
    seed_generators(3)
    write_generators(tmp_path, rank=0)
    expected = draws()
    read_generators(tmp_path, rank=5)
    assert draws() == expected


def test_a_state_survives_the_wire() -> None:
    draws()
    state = generators()
    assert decode(encode(state), State) == state


def test_a_seed_fixes_all_of_them() -> None:
    seed_generators(7)
    first = draws()
    seed_generators(7)
    assert draws() == first
