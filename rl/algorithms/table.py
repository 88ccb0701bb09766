"""The `algorithm` group: name in a recipe, options, and the advantages and loss that they give."""

from collections.abc import Callable
from typing import Any, NamedTuple

from rl.algorithms.actor_critic import Estimate
from rl.algorithms.cispo import CispoConfig, cispo
from rl.algorithms.dler import DlerCodeConfig, DlerConfig, dler, dler_code
from rl.algorithms.dr_grpo import DrGrpoConfig, dr_grpo, dr_grpo_advantages
from rl.algorithms.gdpo import GdpoConfig, gdpo
from rl.algorithms.gmpo import GmpoConfig, gmpo
from rl.algorithms.group import Advantages, per_group
from rl.algorithms.grpo import GrpoConfig, grpo
from rl.algorithms.gspo import GspoConfig, gspo
from rl.algorithms.kl_reward import Penalised, penalised
from rl.algorithms.o1_pruner import (
    O1PrunerCodeConfig,
    O1PrunerConfig,
    o1_pruner,
    o1_pruner_code_loss,
    o1_pruner_loss,
)
from rl.algorithms.ppo import PpoConfig, ppo
from rl.algorithms.reinforce_pp import (
    ReinforcePpBaselineConfig,
    ReinforcePpConfig,
    reinforce_pp,
    reinforce_pp_baseline,
    reinforce_pp_baseline_penalised,
    reinforce_pp_penalised,
)
from rl.algorithms.rloo import RlooConfig, rloo
from rl.algorithms.sapo import SapoConfig, sapo
from rl.algorithms.surrogate import PolicyLoss, clipped
from rl.algorithms.tppo import TPpoConfig, tppo
from rl.algorithms.tree_po import (
    SizeWeightedTreePoConfig,
    TreePoConfig,
    tree_po,
    tree_po_by_size,
)
from rl.algorithms.vapo import VapoConfig, vapo
from rl.config import ActorCriticConfig, AlgorithmConfig


class Algorithm(NamedTuple):
    config: type[AlgorithmConfig]
    advantages: Callable[[Any], Advantages]
    """Builds the advantage function from an instance of `config`."""
    loss: Callable[[Any], PolicyLoss] = clipped
    """Builds the policy loss from an instance of `config`."""
    penalised: Callable[[Any], Penalised] = penalised
    """Builds what KL in the reward makes of the advantages."""


ALGORITHMS: dict[str, Algorithm] = {
    "grpo": Algorithm(GrpoConfig, grpo),
    "dr_grpo": Algorithm(DrGrpoConfig, dr_grpo),
    "rloo": Algorithm(RlooConfig, rloo),
    "dler": Algorithm(DlerConfig, dler),
    "dler_code": Algorithm(DlerCodeConfig, dler_code),
    "gdpo": Algorithm(GdpoConfig, gdpo),
    "tree_po": Algorithm(TreePoConfig, tree_po),
    "tree_po_by_size": Algorithm(SizeWeightedTreePoConfig, tree_po_by_size),
    "reinforce_pp": Algorithm(ReinforcePpConfig, reinforce_pp, penalised=reinforce_pp_penalised),
    "reinforce_pp_baseline": Algorithm(
        ReinforcePpBaselineConfig, reinforce_pp_baseline, penalised=reinforce_pp_baseline_penalised
    ),
    "gspo": Algorithm(GspoConfig, grpo, gspo),
    "cispo": Algorithm(CispoConfig, grpo, cispo),
    "gmpo": Algorithm(GmpoConfig, grpo, gmpo),
    "sapo": Algorithm(SapoConfig, grpo, sapo),
    "o1_pruner": Algorithm(O1PrunerConfig, o1_pruner, o1_pruner_loss),
    "o1_pruner_code": Algorithm(O1PrunerCodeConfig, o1_pruner, o1_pruner_code_loss),
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
    return _entry(config).advantages(config)


def policy_loss(config: AlgorithmConfig) -> PolicyLoss:
    """The policy loss that `config` chooses, over the rows of a micro-batch."""
    if isinstance(config, ActorCriticConfig):
        return clipped(config)
    return _entry(config).loss(config)


def penalised_advantages(config: AlgorithmConfig) -> Penalised:
    """What KL in the reward makes of the advantages that `config` chooses."""
    return _entry(config).penalised(config)


def _entry(config: AlgorithmConfig) -> Algorithm:
    return next(entry for entry in ALGORITHMS.values() if entry.config is type(config))


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
