"""GDPO: every part of the reward is normalised on its own before the parts are added."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from statistics import fmean, stdev

from data.types import Group, Score
from rl.algorithms.group import Advantages
from rl.algorithms.grpo import GrpoConfig, grpo_advantages

Rewards = Sequence[Sequence[float]]
EPSILON = 1e-4


@dataclass(kw_only=True)
class GdpoConfig(GrpoConfig):
    """Decoupled normalisation of reward parts (arXiv:2601.05242).

    Normalised within a group, a part loses its scale: `reward.alpha` and the like have no effect,
    `weights` say what a part is worth. `std_floor` is that of each part.
    """

    weights: dict[str, float] = field(default_factory=dict)
    """Weight of each part of the reward by name, `correct` and `length` among them; 1 if unnamed.
    """


def gdpo_advantages(
    parts: Mapping[str, Rewards], weights: Mapping[str, float], std_floor: float = 0.0
) -> list[list[float]]:
    """A = (S - mean S) / (std S + 1e-4) with S_i = sum_k w_k (r_ki - mean r_k) / (std r_k + 1e-6).

    GDPO (arXiv:2601.05242): each part k is standardised within its group as GRPO does it, their
    weighted sum over the whole update; std with Bessel's correction, the last epsilon as in TRL.
    Each part is [P][G]. A part that ties within a group adds nothing there.
    """
    normalised = [
        [[weights.get(name, 1.0) * a for a in grpo_advantages(group, std_floor)] for group in part]
        for name, part in parts.items()
    ]
    sums = [
        [sum(values) for values in zip(*groups, strict=True)]
        for groups in zip(*normalised, strict=True)
    ]
    every = list(chain.from_iterable(sums))
    mean, scale = fmean(every), stdev(every) + EPSILON
    return [[(value - mean) / scale for value in group] for group in sums]


def parts_of(scores: Sequence[Sequence[Score]]) -> dict[str, list[list[float]]]:
    """Every part of the scores [P][G] by name; a score without a part has 0 of it."""
    names = sorted({name for group in scores for score in group for name in score.parts})
    return {
        name: [[score.parts.get(name, 0.0) for score in group] for group in scores]
        for name in names
    }


def gdpo(config: GdpoConfig) -> Advantages:
    """The advantages of an update [P][G]; raises ValueError for a weight of a part that is none."""

    def advantages(groups: Sequence[Group], scores: Sequence[Sequence[Score]]) -> list[list[float]]:
        parts = parts_of(scores)
        for name, weight in config.weights.items():
            if name not in parts:
                raise ValueError(
                    f"algorithm.weights.{name}={weight}: the reward has the parts "
                    f"{', '.join(parts)}; name one of these"
                )
        return gdpo_advantages(parts, config.weights, config.std_floor)

    return advantages
