"""The `algorithm` group: name in a recipe, options, and the advantages that they give."""

from collections.abc import Callable
from typing import Any, NamedTuple

from rl.algorithms.dr_grpo import DrGrpoConfig, dr_grpo
from rl.algorithms.group import GroupAdvantages
from rl.algorithms.grpo import GrpoConfig, grpo
from rl.algorithms.rloo import RlooConfig, rloo
from rl.config import AlgorithmConfig


class Algorithm(NamedTuple):
    config: type[AlgorithmConfig]
    advantages: Callable[[Any], GroupAdvantages]
    """Builds the advantage function from an instance of `config`."""


ALGORITHMS: dict[str, Algorithm] = {
    "grpo": Algorithm(GrpoConfig, grpo),
    "dr_grpo": Algorithm(DrGrpoConfig, dr_grpo),
    "rloo": Algorithm(RlooConfig, rloo),
}


def group_advantages(config: AlgorithmConfig) -> GroupAdvantages:
    """The advantage function that `config` chooses, over the rewards of a batch [P][G]."""
    builders = {algorithm.config: algorithm.advantages for algorithm in ALGORITHMS.values()}
    return builders[type(config)](config)
