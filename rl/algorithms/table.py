"""The `algorithm` group: name in a recipe, options, and the advantages that they give."""

from collections.abc import Callable
from typing import Any, NamedTuple

from rl.algorithms.actor_critic import Estimate
from rl.algorithms.dler import DlerCodeConfig, DlerConfig, dler, dler_code
from rl.algorithms.dr_grpo import DrGrpoConfig, dr_grpo, dr_grpo_advantages
from rl.algorithms.gdpo import GdpoConfig, gdpo
from rl.algorithms.group import Advantages, per_group
from rl.algorithms.grpo import GrpoConfig, grpo
from rl.algorithms.o1_pruner import O1PrunerCodeConfig, O1PrunerConfig, o1_pruner
from rl.algorithms.ppo import PpoConfig, ppo
from rl.algorithms.rloo import RlooConfig, rloo
from rl.algorithms.tppo import TPpoConfig, tppo
from rl.algorithms.vapo import VapoConfig, vapo
from rl.config import ActorCriticConfig, AlgorithmConfig


class Algorithm(NamedTuple):
    config: type[AlgorithmConfig]
    advantages: Callable[[Any], Advantages]
    """Builds the advantage function from an instance of `config`."""


ALGORITHMS: dict[str, Algorithm] = {
    "grpo": Algorithm(GrpoConfig, grpo),
    "dr_grpo": Algorithm(DrGrpoConfig, dr_grpo),
    "rloo": Algorithm(RlooConfig, rloo),
    "dler": Algorithm(DlerConfig, dler),
    "dler_code": Algorithm(DlerCodeConfig, dler_code),
    "gdpo": Algorithm(GdpoConfig, gdpo),
    "o1_pruner": Algorithm(O1PrunerConfig, o1_pruner),
    "o1_pruner_code": Algorithm(O1PrunerCodeConfig, o1_pruner),
}


class ActorCritic(NamedTuple):
    config: type[ActorCriticConfig]
    estimate: Callable[[Any], Estimate]
    """Builds, from an instance of `config`, what makes token advantages of a critic's values."""


ACTOR_CRITICS: dict[str, ActorCritic] = {
    "ppo": ActorCritic(PpoConfig, ppo),
    "vapo": ActorCritic(VapoConfig, vapo),
    "tppo": ActorCritic(TPpoConfig, tppo),
}


def group_advantages(config: AlgorithmConfig) -> Advantages:
    """The advantage function that `config` chooses, over the scored groups of an update."""
    builders = {algorithm.config: algorithm.advantages for algorithm in ALGORITHMS.values()}
    return builders[type(config)](config)


def token_advantages(config: ActorCriticConfig) -> Estimate:
    """The advantages that `config` chooses, over an update's responses and their values."""
    builders = {algorithm.config: algorithm.estimate for algorithm in ACTOR_CRITICS.values()}
    return builders[type(config)](config)


def known_advantages(config: AlgorithmConfig) -> Advantages:
    """The advantages as far as they are known without a model.

    A critic is taken to know the mean reward of every prompt: its advantages are R - mean R.
    """
    if isinstance(config, ActorCriticConfig):
        return per_group(dr_grpo_advantages)
    return group_advantages(config)
