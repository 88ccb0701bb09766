"""The probe compares few tokens of engine and learner, and asks for no more than there is room."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from data.config import ModelConfig
from rl.config import LimitConfig, RunConfig
from rl.learner.batch import Row
from rl.run.probe import Probe, ProbeError
from rollout.config import RolloutConfig
from rollout.engine import Sampling
from tests.fakes import FakeEngine
from tests.rl.builders import prompt


class Scorer:
    """A learner whose log-probs are the engine's, all of them off by `shift`."""

    def __init__(self, shift: float) -> None:
        self.shift = shift

    def logprobs(self, rows: Sequence[Row]) -> list[Any]:
        return [row.sampler_logprobs + np.float32(self.shift) for row in rows]


def probed(num_prompts: int, longest: int, shift: float = 0.0) -> tuple[list[int], float]:
    """The limits that a probe of 256 tokens asks for, and the gap that it finds."""
    limits: list[int] = []

    def remember(sampling: Sampling) -> float:
        limits.append(sampling.limit)
        return 0.0

    with asyncio.Runner() as runner:
        scorer: Any = Scorer(shift)
        probe = Probe(
            engine=FakeEngine(seconds=remember),
            loop=runner,
            learner=scorer,
            prompts=[prompt(f"p{index}") for index in range(num_prompts)],
            config=RunConfig(
                model=ModelConfig(dtype="float32"),
                limit=LimitConfig(max_response_tokens=longest),
                rollout=RolloutConfig(probe_tokens=256),
            ),
            stale_parameters=lambda: ["lm_head.weight"],
        )
        return limits, probe(1)["probe/max_logprob_gap"]


@pytest.mark.parametrize(
    ("num_prompts", "longest", "limits"),
    [(64, 512, [8] * 32), (3, 512, [86] * 3), (1, 512, [256]), (1, 160, [160]), (3, 60, [60] * 3)],
)
def test_prompts_share_the_tokens_within_the_longest_response(
    num_prompts: int, longest: int, limits: list[int]
) -> None:
    assert probed(num_prompts, longest) == (limits, 0.0)


def test_a_gap_beyond_the_tolerance_stops_the_run_and_names_the_parameters() -> None:
    assert probed(3, 60, shift=9e-4)[1] == pytest.approx(9e-4, rel=1e-2)
    with pytest.raises(ProbeError, match=r"differ .* by up to 0.0011 .*lm_head\.weight"):
        probed(3, 60, shift=1.1e-3)
