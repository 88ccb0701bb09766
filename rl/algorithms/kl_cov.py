"""KL-Cov: the few tokens that would cost the policy most of its entropy are held back.

A token whose log-prob and advantage are both above average makes the policy more certain when it
is reinforced. KL-Cov (The Entropy Mechanism, arXiv:2505.22617) keeps the few tokens of the largest
covariance near the policy that began the update; `rl.algorithms.losses.kl_cov_penalty` is its term.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def covariances(logprobs: Floats, advantages: Floats) -> NDArray[np.float64]:
    """Cov_t = (log pi_t - mean log pi) (A_t - mean A), over the tokens of an update [N].

    The Entropy Mechanism (arXiv:2505.22617), the centred cross-product of a token.
    """
    certainty = logprobs.astype(np.float64)
    gain = advantages.astype(np.float64)
    products: NDArray[np.float64] = (certainty - certainty.mean()) * (gain - gain.mean())
    return products


def held_tokens(logprobs: Floats, advantages: Floats, fraction: float) -> NDArray[np.int64]:
    """Positions [K] of the K = max(1, floor(k N)) tokens of the largest covariance, rising.

    The Entropy Mechanism (arXiv:2505.22617), the set I of KL-Cov; k is `fraction`. Of equal ones
    the first are taken. No token is held where there is none.
    """
    if not len(logprobs):
        return np.zeros(0, np.int64)
    num_held = max(1, int(fraction * len(logprobs)))
    ranked = np.argsort(-covariances(logprobs, advantages), kind="stable")
    return np.sort(ranked[:num_held])
