"""The proximal policy of decoupled PPO without a forward pass: interpolated by the tokens' age."""

from torch import Tensor


def loglinear_logprobs(sampler_logprobs: Tensor, logprobs: Tensor, ages: Tensor) -> Tensor:
    """log prox = log mu + alpha (log theta - log mu), alpha = 1 - 1 / age, or 0 at age 0; detached.

    A-3PO (arXiv:2512.06547) as released in AReaL: alpha = (v_prox - v_mu) / (v_theta - v_mu) within
    [0, 1], with v_prox = v_theta - 1. `ages` are v_theta - v_mu, the weight versions between the
    weights that sampled a token and those that the update starts from; all [N].
    """
    alpha = 1 - 1 / ages.clamp(min=1)
    return (sampler_logprobs + alpha * (logprobs - sampler_logprobs)).detach()
