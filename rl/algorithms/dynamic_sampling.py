"""Dynamic sampling: which groups are worth a gradient, and how many to ask for at once."""

from collections import deque
from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Any

from data.types import Group, Verdict
from rewards.protocols import Reward
from rl.config import OversamplingConfig


def outcomes_differ(group: Group, verdicts: Sequence[Verdict]) -> bool:
    """0 < number of correct completions < number of judged ones.

    DAPO (arXiv:2503.14476, eq. 11). Raw correctness of one group [G], before any shaping: a group
    that is all right or all wrong is dropped. A verdict that the grader failed to give counts for
    neither side.
    """
    outcomes = {verdict.correct for verdict in verdicts}
    return True in outcomes and False in outcomes


def rewards_differ(group: Group, verdicts: Sequence[Verdict], reward: Reward) -> bool:
    """min R < max R over the shaped rewards of one group [G].

    DLER (arXiv:2510.15110, section 3). `reward` must need no more than this one group.
    """
    (scores,) = reward([group], [verdicts])
    totals = [score.total for score in scores]
    return min(totals) < max(totals)


def oversampling_factor(
    kept_shares: Sequence[float], initial: float, lowest: float, highest: float
) -> float:
    """f = (1 + std s) / mean s, within [lowest, highest]: groups to sample for each that is needed.

    Predictive dynamic sampling of DOT (arXiv:2601.03969), formula of the released code. s are the
    shares of sampled groups that the latest steps kept, std that of the population. `initial`
    before the first step; `highest` when nothing was kept.
    """
    if not kept_shares:
        return initial
    mean = fmean(kept_shares)
    if mean == 0:
        return highest
    return min(max((1 + pstdev(kept_shares)) / mean, lowest), highest)


class Oversampling:
    """Remembers the shares that the latest steps kept, and predicts from them."""

    def __init__(self, config: OversamplingConfig) -> None:
        self._config = config
        self._kept_shares: deque[float] = deque(maxlen=config.history_steps)

    def num_prompts(self, num_groups: int) -> int:
        """Prompts to sample at once, so that about `num_groups` groups are kept."""
        config = self._config
        factor = oversampling_factor(
            self._kept_shares, config.initial, config.lowest, config.highest
        )
        return int(num_groups * factor)

    def observe(self, kept_share: float) -> None:
        """Learns from a step: groups that were kept over groups that were sampled."""
        self._kept_shares.append(kept_share)

    def state(self) -> dict[str, Any]:
        return {"kept_shares": list(self._kept_shares)}

    def load(self, state: dict[str, Any]) -> None:
        """Continues from `state()`."""
        self._kept_shares = deque(state["kept_shares"], maxlen=self._config.history_steps)
