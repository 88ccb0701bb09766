"""What an update reports beside its loss: clipping, drift, and the gap to the sampler.

Names are TRL's where TRL has one, then those of verl's rollout diagnostics. With rho the learner's
probability over the sampler's at equal weights, l = log rho: k1 = mean(-l), k3 = mean(rho - 1 - l),
chi2 = mean(rho^2) - 1, effective sample size = mean(rho)^2 / mean(rho^2). k3 stands a second time
for tokens that the weights in force sampled (fresh), where only the engine can differ from the
learner, and for older ones (stale), where training adds its part.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from rl.algorithms.losses import MAX_LOG_RATIO, importance_ratio
from rl.learner.flat import FlatRows
from rl.learner.statistics import Statistics

RATIO_MEAN = "sampling/importance_sampling_ratio/mean"
CHI2_TOKEN = "sampling/chi2_token"
FRESH = "sampling/fresh_ratio"
K3_FRESH, K3_STALE = "sampling/k3_kl_fresh", "sampling/k3_kl_stale"


class Diagnostics:
    """Statistics of one update over tokens, over rows and over right answers, on all ranks."""

    def __init__(self) -> None:
        self._tokens = Statistics()
        self._rows = Statistics()
        self._right = Statistics()
        self.has_moved = False
        """Whether what is added from here on as old log-probs is of weights that this update has
        moved: then no token is fresh."""

    @torch.no_grad()
    def add(
        self, flat: FlatRows, means: Mapping[str, Tensor], ratio: Tensor, old_logprobs: Tensor
    ) -> None:
        """Adds a micro-batch: `means` are further per-token values [N] to average."""
        gap = (old_logprobs - flat.sampler_logprobs).abs()
        rho = importance_ratio(old_logprobs, flat.sampler_logprobs)
        difference = (old_logprobs.exp() - flat.sampler_logprobs.exp()).abs()
        self._tokens.add(
            flat.mask,
            means={
                **means,
                "ratio/mean": ratio,
                **sampling_means(old_logprobs, flat, self.has_moved),
            },
            maxima={
                "ratio/max": ratio,
                "sampling/sampling_logp_difference/max": gap,
                "sampling/importance_sampling_ratio/max": rho,
                "sampling/prob_difference_max": difference,
            },
            minima={"ratio/min": ratio, "sampling/importance_sampling_ratio/min": rho},
        )
        log_ratio = (old_logprobs - flat.sampler_logprobs).double()
        doubled = (2 * flat.row_sums(log_ratio)).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
        self._rows.add(
            flat.lengths > 0,
            means={
                "sampling/chi2_sequence": doubled.exp() - 1,
                "sampling/perplexity_ratio": flat.row_means(-log_ratio).exp(),
                "correction/masked_sequences": (
                    flat.row_means(means["correction/masked_ratio"]) == 1
                ).float(),
            },
            maxima=of_rows(flat, means, {"clip_ratio/high_mean": "clip_ratio/high_max"}),
            minima=of_rows(flat, means, {"clip_ratio/low_mean": "clip_ratio/low_min"}),
        )

    def add_right(self, flat: FlatRows, logprobs: Tensor) -> None:
        """Adds the tokens of a micro-batch that the policy, whose `logprobs` [N] are, imitates."""
        self._right.add(flat.right_weights > 0, {"positive_nll": -logprobs}, maxima={}, minima={})

    def reduce(self, device: torch.device) -> dict[str, float]:
        """All of it over all ranks; collective."""
        found = self._tokens.reduce(device) | self._rows.reduce(device) | self._right.reduce(device)
        size = found[RATIO_MEAN] ** 2 / (found[CHI2_TOKEN] + 1)
        return mismatch_by_age(found) | {"sampling/effective_sample_size": size}


def mismatch_by_age(found: Mapping[str, float]) -> dict[str, float]:
    """`found` with k3 as means over the fresh tokens and over the stale ones, where there are any.

    In `found` both are over all tokens, and those of the other kind count 0.
    """
    result = dict(found)
    for name, share in ((K3_FRESH, found[FRESH]), (K3_STALE, 1 - found[FRESH])):
        total = result.pop(name)
        if share > 0:
            result[name] = total / share
    return result


def of_rows(
    flat: FlatRows, means: Mapping[str, Tensor], names: Mapping[str, str]
) -> dict[str, Tensor]:
    """Means over each row [B] of those per-token `means` that are there, under their new names."""
    return {new: flat.row_means(means[name]) for name, new in names.items() if name in means}


def sampling_means(
    old_logprobs: Tensor, flat: FlatRows, has_moved: bool = False
) -> dict[str, Tensor]:
    """How far the learner's `old_logprobs` [N] are from the sampler's, per token."""
    log_ratio = (old_logprobs - flat.sampler_logprobs).double()
    rho = log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    k3 = torch.expm1(log_ratio) - log_ratio
    fresh = (flat.ages == 0) & (not has_moved)
    return {
        "sampling/sampling_logp_difference/mean": log_ratio.abs(),
        RATIO_MEAN: rho,
        "sampling/kl": -log_ratio,
        "sampling/k3_kl": k3,
        K3_FRESH: k3.where(fresh, 0.0),
        K3_STALE: k3.where(~fresh, 0.0),
        FRESH: fresh.float(),
        CHI2_TOKEN: rho.square() - 1,
    }
