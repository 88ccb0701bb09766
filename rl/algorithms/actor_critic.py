"""What advantages from a critic are made of, and what the critic is to learn."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rl.algorithms.gae import Floats, Mask, final_rewards, generalized_advantages


@dataclass(frozen=True, slots=True, kw_only=True)
class Responses:
    """The responses of an update, padded: rows [B], tokens [B, T].

    `rewards` [B] are 0 for responses that go on in the next step, which are not `finished` [B].
    `values` [B, T] are of the state before each token, `after` [B] of the state after the last.
    `sampled` [B, T] are the policy's own tokens and `trained` [B, T] those of them that are to be
    credited: all of them, or those of this step's window. `lengths` [B] are those of the whole
    responses, as far as they are known.
    """

    rewards: Floats
    values: Floats
    after: Floats
    sampled: Mask
    trained: Mask
    finished: Mask
    lengths: Floats


Estimate = Callable[[Responses], Floats]
"""The responses of an update to an advantage for each token [B, T]."""


def value_targets(responses: Responses, discount: float, target_lambda: float) -> Floats:
    """V_t + A_t over all sampled tokens, A by GAE with lambda = `target_lambda` [B, T].

    Decoupled GAE of VC-PPO (arXiv:2503.01491): with lambda 1 and no discount every target is the
    reward that came, so that the last token's signal does not decay over a long response.
    Rows that are not finished have no target: theirs mean nothing.
    """
    return responses.values + generalized_advantages(
        final_rewards(responses.rewards, responses.sampled),
        responses.values,
        np.zeros(len(responses.values)),
        responses.sampled,
        discount,
        np.full(len(responses.values), target_lambda),
    )
