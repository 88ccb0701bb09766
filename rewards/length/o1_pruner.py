"""O1-Pruner: an answer is paid for being shorter, and right more often, than the initial policy's

O1-Pruner (arXiv:2501.12570). L and A of a prompt are means over K answers that the initial policy
gave before training. Without recorded answers (in `laconic reward check`) a group is compared with
its own means.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import sqrt
from statistics import fmean

from data.references import Reference, References
from data.types import Group
from rewards.compose import with_group_term
from rewards.config import RewardConfig
from rewards.protocols import Reward

LOWEST, HIGHEST = -2.0, 4.0
"""The released code holds every reward between these."""
ORDER = "a wrong answer is worth more than a right one when its L / n is greater by lambda"


@dataclass(kw_only=True)
class O1PrunerConfig(RewardConfig):
    """`reward: o1_pruner`, the reward as in the paper: the advantage, without a baseline more."""

    weight: float = 2.0
    """lambda, the worth of being right against length: 2 for Marco-o1-7B, 5 for QwQ-32B."""

    def problems(self) -> list[str]:
        found = super().problems()
        if self.weight < 0:
            found.append(f"reward.weight={self.weight}: set it to 0 (length alone) or more")
        return found

    def given_up(self) -> dict[str, str]:
        return {"order": ORDER, "bounded": "L / n grows without bound as an answer gets shorter"}


@dataclass(kw_only=True)
class O1PrunerCodeConfig(O1PrunerConfig):
    """`reward: o1_pruner_code`: rewards are clipped, then standardised over the whole data set."""

    def given_up(self) -> dict[str, str]:
        return {"order": ORDER}


def length_harmonizing_rewards(
    lengths: Sequence[int],
    correct: Sequence[bool],
    mean_length: float,
    mean_accuracy: float,
    weight: float,
) -> list[float]:
    """R_i = L / n_i - 1 + lambda (c_i - A), with L and A the reference's means, lambda `weight`.

    O1-Pruner (arXiv:2501.12570, eq. 10). Lengths n_i > 0 are response tokens [G], c_i is 0 or 1.
    Its mean over the reference's own answers is not 0: L / n is convex in n.
    """
    return [
        mean_length / n - 1 + weight * (ok - mean_accuracy)
        for n, ok in zip(lengths, correct, strict=True)
    ]


def clipped_rewards(rewards: Sequence[float]) -> list[float]:
    """min(max(R_i, -2), 4): a very short answer is worth no more than 4.

    The released code of O1-Pruner (o1_scripts/construct_dataset.py); the paper does not clip.
    """
    return [min(max(reward, LOWEST), HIGHEST) for reward in rewards]


def moments(rewards: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation of the population; the latter 1 where all rewards are equal.

    The released code of O1-Pruner standardises by them, over all trained answers of the data set.
    """
    if min(rewards) == max(rewards):
        return rewards[0], 1.0
    mean = fmean(rewards)
    return mean, sqrt(fmean((reward - mean) ** 2 for reward in rewards))


def build_reward(config: O1PrunerConfig, references: References | None = None) -> Reward:
    return _against(references, config.weight, list)


def build_code_reward(config: O1PrunerCodeConfig, references: References | None = None) -> Reward:
    mean, std = (0.0, 1.0) if references is None else dataset_moments(references, config.weight)
    return _against(
        references,
        config.weight,
        lambda rewards: [(reward - mean) / std for reward in clipped_rewards(rewards)],
    )


def dataset_moments(references: References, weight: float) -> tuple[float, float]:
    """`moments` of the clipped rewards of every trained answer."""
    return moments(
        list(chain.from_iterable(clipped_rewards(_of(r, weight)) for r in references.values()))
    )


def _of(reference: Reference, weight: float) -> list[float]:
    """The rewards of a reference's trained answers."""
    trained = slice(reference.num_trained)
    return length_harmonizing_rewards(
        reference.lengths[trained],
        reference.correct[trained],
        reference.mean_length,
        reference.mean_accuracy,
        weight,
    )


def _against(
    references: References | None,
    weight: float,
    revise: Callable[[Sequence[float]], list[float]],
) -> Reward:
    """The revised rewards; the part `length` is what they are beside `weight` of a right answer."""

    def term(group: Group, correct: Sequence[bool]) -> list[float]:
        mean_length, mean_accuracy = fmean(group.lengths), fmean(correct)
        if references is not None:
            reference = references[group.prompt.id]
            mean_length, mean_accuracy = reference.mean_length, reference.mean_accuracy
        rewards = length_harmonizing_rewards(
            group.lengths, correct, mean_length, mean_accuracy, weight
        )
        return [value - weight * ok for value, ok in zip(revise(rewards), correct, strict=True)]

    return with_group_term(term, worth=weight)
