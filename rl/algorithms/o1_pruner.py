"""O1-Pruner: the reward is the advantage, and whole answers are weighed against the initial policy

The rewards compare an answer with the initial policy's mean already. The surrogate's ratio is
`rl.learner.objective.sequence_ratio`, in the released code `mean_token_ratio`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from data.types import Group, Score
from rl.algorithms.group import Advantages, totals
from rl.config import Aggregation, AlgorithmConfig


@dataclass(kw_only=True)
class O1PrunerConfig(AlgorithmConfig):
    """Length-harmonizing fine-tuning (arXiv:2501.12570): off-policy, on the first model's answers.

    The ratio is that of the whole answer's probabilities (eq. 11)."""

    group_size: int = 2
    """Answers of each prompt that are trained, of `rollout.samples_per_prompt` recorded ones."""
    clip_high: float = 0.2
    aggregation: Aggregation = Aggregation.sequence_mean_token_mean


@dataclass(kw_only=True)
class O1PrunerCodeConfig(O1PrunerConfig):
    """O1-Pruner as its code was released: the geometric mean over an answer's tokens."""


def o1_pruner(config: O1PrunerConfig) -> Advantages:
    """The advantages of an update [P][G]; `config` has nothing that changes them."""

    def advantages(groups: Sequence[Group], scores: Sequence[Sequence[Score]]) -> list[list[float]]:
        return totals(scores)

    return advantages
