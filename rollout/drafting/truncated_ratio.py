"""Verification of a draft whose distribution is known on its top tokens only, and still exact.

A replayed token x was once sampled from q, of which the probabilities on a set S (its top k) are
stored. With q_S = q on S and 0 elsewhere, of mass below 1 and not renormalised: accept x with
min(1, p(x) / q_S(x)) where x is in S, reject it elsewhere, and on rejection sample from
(p - q_S)+. x is emitted by acceptance with probability min(p(x), q_S(x)), so a rejection has
probability 1 - sum min(p, q_S) = sum (p - q_S)+, and what it adds to x is (p(x) - q_S(x))+: the sum
is p(x). S = all tokens is the standard rule (arXiv:2211.17192), q_S(x) = 1 on one x is a one-hot
draft.

This needs x to be a draw from q given the same prefix, each stored draw used once, and a choice of
the replayed text that does not look at it. All arrays hold probabilities over the vocabulary [V].
"""

import numpy as np

from rollout.drafting.step_cost import Floats


def top_part(probabilities: Floats, count: int) -> Floats:
    """q_S: the `count` largest of `probabilities` in their places, 0 elsewhere."""
    kept = np.zeros_like(probabilities)
    top = np.argsort(-probabilities, kind="stable")[:count]
    kept[top] = probabilities[top]
    return kept


def acceptance(policy: Floats, draft: Floats) -> Floats:
    """min(1, p / q_S) where q_S > 0, else 0: P(accept) of each drafted token."""
    known = draft > 0
    return np.where(known, np.minimum(1.0, policy / np.where(known, draft, 1.0)), 0.0)


def residual(policy: Floats, draft: Floats) -> Floats:
    """(p - q_S)+ / sum: what is sampled after a rejection; p itself where a rejection cannot be."""
    excess = np.maximum(policy - draft, 0.0)
    mass = excess.sum()
    return excess / mass if mass > 0 else policy
