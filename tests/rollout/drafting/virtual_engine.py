"""An engine without a model or a clock: planted acceptance and step costs, steps of virtual time.

Every row drafts `MOST_DRAFTS` tokens; the drafter's log-odds of each are normal(1, 1), and the
engine accepts them with a planted probability of those. Rates are expected tokens per virtual
second, so that a comparison carries the controller's choices and not the luck of the draws.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rollout.drafting.acceptance_model import Proposal
from rollout.drafting.controller import Controller, Outcome
from rollout.drafting.goodput import positions, survivals

MOST_DRAFTS = 16
DRAFT_SECONDS_PER_ROW = 1e-5
TIMING_NOISE = 0.05

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """`acceptance` of drafter log-odds [slots]; `seconds` of a step by rows and drafts."""

    acceptance: Callable[[Array], Array]
    seconds: Callable[[int, int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    verified: int
    expected_tokens: float
    foreseen_tokens: float
    seconds: float


def run(
    controller: Controller,
    planted: Planted,
    *,
    rows: int,
    num_steps: int,
    rng: np.random.Generator,
) -> list[Step]:
    """Steps of `rows` rows under the controller."""
    steps = []
    for _ in range(num_steps):
        length = MOST_DRAFTS if controller.wants_drafts(rows) else 0
        log_odds = rng.normal(1, 1, rows * length)
        drafting = DRAFT_SECONDS_PER_ROW * rows if length else 0.0
        proposal = Proposal(
            lengths=np.full(rows, length),
            probabilities=1 / (1 + np.exp(-log_odds)),
            match_lengths=np.full(rows, 5),
            ages=np.zeros(rows),
            draft_seconds=drafting,
        )
        kept = controller.decide(proposal)
        seconds = planted.seconds(rows, int(kept.sum()))
        acceptance = planted.acceptance(log_odds)
        verified = positions(proposal.lengths) < np.repeat(kept, proposal.lengths)
        foreseen = controller.observe(
            Outcome(
                accepted=_accepted(rng.random(len(acceptance)) < acceptance, verified, rows),
                seconds=seconds * rng.lognormal(0, TIMING_NOISE),
                prompt_tokens=0,
            )
        )
        expected = rows + survivals(acceptance, proposal.lengths)[verified].sum()
        steps.append(
            Step(
                verified=int(kept.sum()),
                expected_tokens=float(expected),
                foreseen_tokens=rows + foreseen,
                seconds=seconds + drafting,
            )
        )
    return steps


def rate(steps: list[Step]) -> float:
    """Expected tokens per virtual second."""
    return sum(s.expected_tokens for s in steps) / sum(s.seconds for s in steps)


def best_fixed_rate(planted: Planted, rows: int) -> float:
    """Expected tokens per virtual second of the best fixed number of drafts per row, 0 to 16."""
    log_odds = np.random.default_rng(0).normal(1, 1, 100_000)
    mean = planted.acceptance(log_odds).mean()
    tokens = rows * np.cumsum(mean ** np.arange(MOST_DRAFTS + 1))
    seconds = [
        planted.seconds(rows, rows * k) + (DRAFT_SECONDS_PER_ROW * rows if k else 0.0)
        for k in range(MOST_DRAFTS + 1)
    ]
    return float((tokens / seconds).max())


def _accepted(accepts: NDArray[np.bool_], verified: NDArray[np.bool_], rows: int) -> NDArray:
    """Per row the verified slots before the first that the engine rejects."""
    return np.cumprod((accepts & verified).reshape(rows, -1), axis=1).sum(axis=1)
