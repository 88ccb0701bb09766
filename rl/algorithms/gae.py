"""Advantages from state values: GAE, and EGAE for responses that go on after the window's end.

All arrays are padded: rows [B], tokens [B, T]. `values` [B, T] are of the state before each token.
`mask` [B, T] is True on the tokens that the policy sampled and that are to be credited; all others
(injected ones, those of earlier windows, padding) are passed over without a decay and get 0.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def generalized_advantages(
    rewards: Floats, values: Floats, after: Floats, mask: Mask, discount: float, traces: Floats
) -> Floats:
    """A_t = sum_k (gamma lambda)^k delta_(t+k) with delta_t = r_t + gamma V_(t+1) - V_t.

    GAE (arXiv:1506.02438, eq. 16). `rewards` [B, T]; `traces` [B] are the rows' lambda. `after` [B]
    is V after the last token of a row: 0 where the response has ended, an estimate where it goes
    on (EGAE of T-PPO, arXiv:2506.15050, by `repeated_values` or the critic's own).
    """
    advantages = np.zeros_like(values)
    following, running = after.astype(np.float64), np.zeros(len(values))
    for token in reversed(range(values.shape[1])):
        here = mask[:, token]
        delta = rewards[:, token] + discount * following - values[:, token]
        running = np.where(here, delta + discount * traces * running, running)
        following = np.where(here, values[:, token], following)
        advantages[:, token] = np.where(here, running, 0.0)
    return advantages


def repeated_values(values: Floats, mask: Mask) -> Floats:
    """V(s_l) := V(s_(l-1)), the value before a row's last credited token [B]; 0 without any.

    What T-PPO (arXiv:2506.15050) takes for the value behind the end of an unfinished window.
    """
    last: Floats = np.where(mask & (tokens_left(mask) == 1), values, 0.0).sum(axis=1)
    return last


def final_rewards(rewards: Floats, mask: Mask) -> Floats:
    """[B, T]: a row's reward [B] at its last credited token, 0 elsewhere."""
    return np.where(mask & (tokens_left(mask) == 1), rewards[:, None], 0.0)


def tokens_left(mask: Mask) -> NDArray[np.int64]:
    """How many credited tokens there are from each token on, itself included [B, T]."""
    return np.cumsum(mask[:, ::-1], axis=1, dtype=np.int64)[:, ::-1]


def length_adaptive_traces(lengths: Floats, alpha: float, floor: float) -> Floats:
    """lambda = max(floor, 1 - 1 / (alpha l)) for responses of l tokens [B].

    VAPO (arXiv:2504.05118): the weights of the trace sum to 1 / (1 - lambda) = alpha l, so that
    the horizon grows with the response. The bare formula is not positive for l <= 1 / alpha.
    """
    return np.maximum(floor, 1.0 - 1.0 / (alpha * lengths))


def without_tail(mask: Mask, finished: Mask, num_ignored: int) -> Mask:
    """`mask` [B, T] without the last `num_ignored` credited tokens of unfinished rows.

    T-PPO (arXiv:2506.15050, released recipe): EGAE is nearly 0 there by construction. `finished`
    [B].
    """
    return mask & (finished[:, None] | (tokens_left(mask) > num_ignored))


def whitened(advantages: Floats, mask: Mask, eps: float = 1e-8) -> Floats:
    """(A - mean A) / sqrt(var A + eps) over the tokens of the mask, 0 elsewhere; all [B, T].

    Unbiased variance, eps inside the root as in verl. Fewer than two tokens, or tokens that tie,
    carry no preference and get 0.
    """
    chosen = advantages[mask]
    if len(chosen) < 2:
        return np.zeros_like(advantages)
    scale = np.sqrt(chosen.var(ddof=1) + eps)
    return np.where(mask, (advantages - chosen.mean()) / scale, 0.0)


def explained_variance(values: Floats, returns: Floats) -> float:
    """1 - var(R - V) / var R over tokens [N]: 1 is a perfect critic, 0 one that knows the mean.

    NaN where the returns tie: there is nothing to explain.
    """
    spread = returns.var()
    return float(1.0 - (returns - values).var() / spread) if spread > 0 else float("nan")
