"""Which weights a config of the `correction` group gives the tokens of a micro-batch.

The formulas are those of `rl.algorithms.correction`, `sequence_correction` and `proximal`. The
filters of whole responses (`geometric`, `k3`, `opsm`) come on top of truncated token weights.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rl.algorithms.config import (
    A3poConfig,
    CorrectionConfig,
    GeometricConfig,
    IcePopConfig,
    K3Config,
    OpsmConfig,
    SequenceMaskedConfig,
    SequenceTruncatedConfig,
    TruncatedConfig,
)
from rl.algorithms.correction import icepop_weights, truncated_weights
from rl.algorithms.kl import k3
from rl.algorithms.proximal import loglinear_logprobs
from rl.algorithms.sequence_correction import (
    banded_product_weights,
    product_weights,
    within_geometric_band,
    within_k3_bound,
    worth_learning_from,
)
from rl.learner.flat import FlatRows


class Weights(NamedTuple):
    """Tensors [N]: what each token weighs, detached, and the tokens that are at the cap.

    `kept` is False where a token is masked; it weighs 0 then.
    """

    values: Tensor
    capped: Tensor
    kept: Tensor


Weigh = Callable[[FlatRows, Tensor, Tensor], Weights]
"""From a micro-batch, the proximal policy's log-probs and those of the policy in training, [N]."""


def uncorrected(config: CorrectionConfig) -> Weigh:
    """Every token weighs 1, whatever the gap."""
    return lambda flat, old, policy: unmasked(torch.ones_like(old), torch.inf)


def truncated(config: TruncatedConfig) -> Weigh:
    """`truncated_weights`."""

    def weigh(flat: FlatRows, old: Tensor, policy: Tensor) -> Weights:
        return unmasked(truncated_weights(old, flat.sampler_logprobs, config.cap), config.cap)

    return weigh


def icepop(config: IcePopConfig) -> Weigh:
    """`icepop_weights`."""

    def weigh(flat: FlatRows, old: Tensor, policy: Tensor) -> Weights:
        band = (config.lowest, config.highest)
        return uncapped(icepop_weights(old, flat.sampler_logprobs, *band))

    return weigh


def sequence_truncated(config: SequenceTruncatedConfig) -> Weigh:
    """`product_weights`."""

    def weigh(flat: FlatRows, old: Tensor, policy: Tensor) -> Weights:
        sums = flat.row_sums(old - flat.sampler_logprobs)
        return unmasked(product_weights(sums, config.cap)[flat.rows], config.cap)

    return weigh


def sequence_masked(config: SequenceMaskedConfig) -> Weigh:
    """`banded_product_weights`."""

    def weigh(flat: FlatRows, old: Tensor, policy: Tensor) -> Weights:
        sums = flat.row_sums(old - flat.sampler_logprobs)
        return uncapped(banded_product_weights(sums, config.lowest, config.highest)[flat.rows])

    return weigh


def geometric(config: GeometricConfig) -> Weigh:
    """Truncated weights where `within_geometric_band`."""
    weigh_tokens = truncated(config)

    def weigh(flat: FlatRows, old: Tensor, policy: Tensor) -> Weights:
        means = flat.row_means(old - flat.sampler_logprobs)
        kept = within_geometric_band(means, config.lowest, config.highest)
        return masked(weigh_tokens(flat, old, policy), kept[flat.rows])

    return weigh


def k3_bounded(config: K3Config) -> Weigh:
    """Truncated weights where `within_k3_bound`."""
    weigh_tokens = truncated(config)

    def weigh(flat: FlatRows, old: Tensor, policy: Tensor) -> Weights:
        means = flat.row_means(k3(flat.sampler_logprobs, old))
        kept = within_k3_bound(means, config.highest)
        return masked(weigh_tokens(flat, old, policy), kept[flat.rows])

    return weigh


def opsm(config: OpsmConfig) -> Weigh:
    """Truncated weights where a token is `worth_learning_from`."""
    weigh_tokens = truncated(config)

    def weigh(flat: FlatRows, old: Tensor, policy: Tensor) -> Weights:
        gaps = flat.row_means(flat.sampler_logprobs - policy)[flat.rows]
        kept = worth_learning_from(flat.advantages, gaps, config.highest)
        return masked(weigh_tokens(flat, old, policy), kept)

    return weigh


def unmasked(values: Tensor, cap: float) -> Weights:
    """Weights of which none is masked."""
    return Weights(values, values >= cap, torch.ones_like(values, dtype=torch.bool))


def uncapped(values: Tensor) -> Weights:
    """Weights that are 0 where they are masked, and have no cap."""
    return Weights(values, torch.zeros_like(values, dtype=torch.bool), values > 0)


def masked(weights: Weights, kept: Tensor) -> Weights:
    """`weights` where `kept`, else 0."""
    return Weights(weights.values.where(kept, 0.0), weights.capped & kept, weights.kept & kept)


def weight_metrics(weights: Weights) -> dict[str, Tensor]:
    """Per token [N]: the weight, and 1 where it is at the cap or masked."""
    return {
        "correction/weight_mean": weights.values,
        "correction/capped_ratio": weights.capped.float(),
        "correction/masked_ratio": (~weights.kept).float(),
    }


CORRECTIONS: dict[type[CorrectionConfig], Callable[[Any], Weigh]] = {
    CorrectionConfig: uncorrected,
    TruncatedConfig: truncated,
    IcePopConfig: icepop,
    SequenceTruncatedConfig: sequence_truncated,
    SequenceMaskedConfig: sequence_masked,
    GeometricConfig: geometric,
    K3Config: k3_bounded,
    OpsmConfig: opsm,
    A3poConfig: truncated,
}


def correction_weights(config: CorrectionConfig) -> Weigh:
    """The weights that `config` chooses."""
    return CORRECTIONS[type(config)](config)


def interpolated(flat: FlatRows, policy: Tensor) -> Tensor:
    """`loglinear_logprobs` of a micro-batch; `policy` are the log-probs in training, all [N]."""
    return loglinear_logprobs(flat.sampler_logprobs, policy, flat.ages)


INTERPOLATIONS: dict[type[CorrectionConfig], Callable[[FlatRows, Tensor], Tensor]] = {
    A3poConfig: interpolated
}
"""Of the corrections whose proximal policy is not the one that began the update."""
