"""GSPO: the ratio that is clipped is that of a whole answer, per token of its length."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rl.algorithms.grpo import GrpoConfig
from rl.algorithms.losses import bounded_exp
from rl.algorithms.surrogate import PolicyLoss, clipped
from rl.config import Aggregation

if TYPE_CHECKING:
    from torch import Tensor

    from rl.learner.flat import FlatRows


@dataclass(kw_only=True)
class GspoConfig(GrpoConfig):
    """Group sequence policy optimization (arXiv:2507.18071)."""

    clip_low: float = 3e-4
    clip_high: float = 4e-4
    """Far narrower than a token's: the geometric mean over a long answer hardly leaves 1."""
    aggregation: Aggregation = Aggregation.sequence_mean_token_mean


def mean_ratio(flat: "FlatRows", logprobs: "Tensor", old_logprobs: "Tensor") -> "Tensor":
    """s_t = sg(s) pi_t / sg(pi_t) with s = exp(mean_t (log policy - log old policy)), tokens [N].

    GSPO-token (arXiv:2507.18071): the value of the answer's ratio at each of its
    tokens, and the gradient of that token alone. With one advantage for the whole answer and a mean
    over its tokens the gradient is that of s itself.
    """
    drift = flat.row_means((logprobs - old_logprobs).detach())
    return bounded_exp(drift[flat.rows] + (logprobs - logprobs.detach()))


def gspo(config: GspoConfig) -> PolicyLoss:
    """The clipped surrogate of `mean_ratio`."""
    return clipped(config, mean_ratio)
