"""Correction of the gap between sampler and learner, one decision for a whole response.

rho_t is the probability of token t at the start of the update over the sampler's, taken over the
tokens of a response that train. The product of all rho is the exact weight of a response, but its
spread grows with the length: a mean log rho of 2e-4 over 8,000 tokens makes 4.95. Means do not
grow. Every function takes a statistic of each response, [B].
"""

from torch import Tensor

from rl.algorithms.losses import MAX_LOG_RATIO


def product_weights(log_sums: Tensor, cap: float) -> Tensor:
    """min(prod_t rho_t, cap), detached. `log_sums` are sum_t log rho_t, clamped to +-20.

    Truncated importance sampling of responses; verl's `rollout_is=sequence`, TRL's
    `sequence_truncate`.
    """
    return _products(log_sums).clamp(max=cap)


def banded_product_weights(log_sums: Tensor, lowest: float, highest: float) -> Tensor:
    """prod_t rho_t where lowest <= prod_t rho_t <= highest, else 0; detached.

    `log_sums` as for `product_weights`. Masked importance sampling of responses; TRL's
    `sequence_mask` has no lower bound, and so drops long responses that the learner prefers.
    """
    products = _products(log_sums)
    return products.where((products >= lowest) & (products <= highest), 0.0)


def within_geometric_band(log_means: Tensor, lowest: float, highest: float) -> Tensor:
    """Whether lowest <= exp(mean_t log rho_t) <= highest: the geometric mean of rho, as bool.

    verl's geometric rejection. `log_means` are mean_t log rho_t.
    """
    means = log_means.exp()
    return (means >= lowest) & (means <= highest)


def within_k3_bound(k3_means: Tensor, highest: float) -> Tensor:
    """Whether mean_t (rho_t - 1 - log rho_t) <= highest, as bool: verl's K3 rejection.

    Unlike a geometric mean it sees deviations that cancel. `k3_means` are those means.
    """
    return k3_means <= highest


def worth_learning_from(advantages: Tensor, log_gaps: Tensor, highest: float) -> Tensor:
    """Whether A >= 0 or mean_t (log mu_t - log theta_t) <= highest, as bool.

    Off-policy sequence mask of DeepSeek-V3.2 (arXiv:2512.02556, section 3.1): a bad response that
    the policy would hardly give any more teaches it nothing. `log_gaps` are those means.
    """
    return (advantages >= 0) | (log_gaps <= highest)


def _products(log_sums: Tensor) -> Tensor:
    return log_sums.detach().clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
