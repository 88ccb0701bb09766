"""Where a drafted chain ends by the drafter's own doubt: the rules of SVIP and of SpecDec++.

Each takes one number per drafted token and returns how many tokens to keep. The token at which a
rule fires is kept and only its successors go: dropping a sampled draft for what it is would change
the distribution of those that stay, and with it the output of ratio verification.
"""

from collections.abc import Sequence

import numpy as np

from rollout.drafting.goodput import Counts
from rollout.drafting.step_cost import Floats


def svip_length(entropies: Floats, scale: float = 0.15, threshold: float = 0.3) -> int:
    """Stop after the first token with sqrt(c H(q)) > h; H in nats, `entropies` [K].

    SVIP (arXiv:2411.18462); c = 0.15 and h = 0.3 are its code's, which stops at H > 0.6.
    """
    return _through_first(np.sqrt(scale * np.asarray(entropies)) > threshold)


def specdec_length(acceptance: Floats, threshold: float = 0.7) -> int:
    """Stop after the first token with 1 - prod of P(accept) > h; `acceptance` [K].

    SpecDec++ (arXiv:2405.19715); h = 0.7 is its sample's. Its code fires one token later, because
    its head reads the state before the newest token.
    """
    return _through_first(1 - np.cumprod(acceptance) > threshold)


def trimmed(drafts: Sequence[Sequence[int]], lengths: Counts) -> list[list[int]]:
    """The first `lengths[row]` tokens of each row's draft; rows may be ragged or empty."""
    return [list(draft[:length]) for draft, length in zip(drafts, lengths, strict=True)]


def _through_first(fires: np.ndarray) -> int:
    return int(np.argmax(fires)) + 1 if fires.any() else len(fires)
