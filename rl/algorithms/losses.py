"""Policy losses per token, not yet averaged, each with the metrics that belong to it.

All tensors of a call have one shape, [B, T] or [N]. PyTorch is not imported when this runs.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MAX_LOG_RATIO = 20.0
"""Log-ratios are clamped to +-20 before exp: exp(20) is 4.9e8, and beyond is a numeric accident."""


def importance_ratio(logprobs: "Tensor", old_logprobs: "Tensor") -> "Tensor":
    """r = exp(log policy - log old policy), the log-ratio clamped to +-20."""
    return bounded_exp(logprobs - old_logprobs)


def bounded_exp(log_ratio: "Tensor") -> "Tensor":
    """exp(d) with d clamped to +-20."""
    return log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()


def clipped_surrogate(
    ratio: "Tensor", advantage: "Tensor", clip_low: float, clip_high: float
) -> "Tensor":
    """-min(r A, clip(r, 1 - clip_low, 1 + clip_high) A), per token, not yet averaged.

    PPO (arXiv:1707.06347, eq. 7); DAPO (arXiv:2503.14476, eq. 10) sets clip_high > clip_low.
    """
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    return -(ratio * advantage).minimum(clipped * advantage)


def dual_clipped_surrogate(
    ratio: "Tensor", advantage: "Tensor", clip_low: float, clip_high: float, dual_clip: float
) -> "Tensor":
    """min(`clipped_surrogate`, c |A|), per token, not yet averaged: c = dual_clip > 1.

    Dual-clip PPO (arXiv:1912.09729): where A < 0 the surrogate grows with r without bound, and the
    objective is held above c A. Where A > 0 the surrogate is negative and stays as it is.
    """
    surrogate = clipped_surrogate(ratio, advantage, clip_low, clip_high)
    return surrogate.minimum(dual_clip * advantage.abs())


def surrogate_metrics(
    ratio: "Tensor", advantage: "Tensor", clip_low: float, clip_high: float
) -> dict[str, "Tensor"]:
    """Where `clipped_surrogate` is flat, per token as 0 or 1, under TRL's names for the means.

    A token is clipped low when r < 1 - clip_low and A < 0, high when r > 1 + clip_high and A > 0.
    """
    return clip_metrics(
        (ratio < 1 - clip_low) & (advantage < 0), (ratio > 1 + clip_high) & (advantage > 0)
    )


def dual_clip_metrics(
    ratio: "Tensor", advantage: "Tensor", dual_clip: float
) -> dict[str, "Tensor"]:
    """Where the dual clip makes the surrogate flat, r > dual_clip and A < 0: per token 0 or 1."""
    return {"clip_ratio/dual_mean": ((ratio > dual_clip) & (advantage < 0)).float()}


def clip_metrics(low: "Tensor", high: "Tensor") -> dict[str, "Tensor"]:
    """Masks of the tokens that are clipped from below and from above, under TRL's names."""
    return {
        "clip_ratio/low_mean": low.float(),
        "clip_ratio/high_mean": high.float(),
        "clip_ratio/region_mean": (low | high).float(),
    }


def kl_cov_penalty(logprobs: "Tensor", old_logprobs: "Tensor", held: "Tensor") -> "Tensor":
    """|log policy - log old policy| on the tokens that are held, 0 on all others.

    KL-Cov (arXiv:2505.22617), KL as in its released code. `held` is a mask, chosen by
    `rl.algorithms.kl_cov.held_tokens`. Where the policies are equal its gradient is 0.
    """
    return (logprobs - old_logprobs).abs().where(held, 0.0)


def positive_example_nll(logprobs: "Tensor", right: "Tensor") -> "Tensor":
    """-log policy on the tokens of right answers, 0 on all others.

    VAPO (arXiv:2504.05118, section 4.3, L_NLL): the policy imitates those of its own samples that
    were right. `right` is a mask. The paper averages over the tokens of all right answers, which is
    `rl.algorithms.aggregation.token_mean` of their lengths.
    """
    return -logprobs.where(right, 0.0)
