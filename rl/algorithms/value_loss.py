"""The critic's loss per token, not yet averaged, with the metrics that belong to it.

All tensors of a call have one shape, [N].
"""

import torch
from torch import Tensor


def clipped_value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, clip_low: float, clip_high: float
) -> Tensor:
    """0.5 max((V - R)^2, (clip(V, V_old - clip_low, V_old + clip_high) - R)^2), per token.

    PPO's released code (openai/baselines, ppo2) with one width; T-PPO (arXiv:2506.15050) with two.
    """
    clipped = torch.clamp(values, old_values - clip_low, old_values + clip_high)
    return 0.5 * torch.maximum((values - returns).square(), (clipped - returns).square())


def value_metrics(
    values: Tensor, old_values: Tensor, returns: Tensor, clip_low: float, clip_high: float
) -> dict[str, Tensor]:
    """Per token: the value, and 1 where `clipped_value_loss` is flat; under verl's names."""
    clipped = torch.clamp(values, old_values - clip_low, old_values + clip_high)
    flat = (clipped - returns).square() > (values - returns).square()
    return {"critic/vpred_mean": values, "critic/vf_clipfrac": flat.float()}
