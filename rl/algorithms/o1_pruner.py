"""O1-Pruner: the reward is the advantage, and whole answers are weighed against the initial policy

The rewards compare an answer with the initial policy's mean already.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.types import Group, Score
from rl.algorithms.group import Advantages, totals
from rl.algorithms.losses import importance_ratio
from rl.algorithms.surrogate import PolicyLoss, clipped
from rl.config import Aggregation, ClippedConfig

if TYPE_CHECKING:
    from torch import Tensor

    from rl.learner.flat import FlatRows


@dataclass(kw_only=True)
class O1PrunerConfig(ClippedConfig):
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


def sequence_ratio(flat: "FlatRows", logprobs: "Tensor", old_logprobs: "Tensor") -> "Tensor":
    """r = exp(sum_t (log policy - log sampler)) of a whole response, at each of its tokens [N].

    O1-Pruner (arXiv:2501.12570, eq. 11): the sampler is the initial policy, however long ago.
    """
    sums = flat.row_sums(logprobs), flat.row_sums(flat.sampler_logprobs)
    return importance_ratio(*sums)[flat.rows]


def mean_token_ratio(flat: "FlatRows", logprobs: "Tensor", old_logprobs: "Tensor") -> "Tensor":
    """r = exp(mean_t (log policy - log sampler)) of a whole response, at each of its tokens [N].

    The released code of O1-Pruner (src/llamafactory/train/wsft/trainer.py).
    """
    means = flat.row_means(logprobs), flat.row_means(flat.sampler_logprobs)
    return importance_ratio(*means)[flat.rows]


def o1_pruner_loss(config: O1PrunerConfig) -> PolicyLoss:
    """The clipped surrogate of `sequence_ratio`."""
    return clipped(config, sequence_ratio)


def o1_pruner_code_loss(config: O1PrunerCodeConfig) -> PolicyLoss:
    """The clipped surrogate of `mean_token_ratio`."""
    return clipped(config, mean_token_ratio)
