"""Groups in proportion to the variance of a prompt's outcomes: none where all were right, or wrong.

Flow: the pass rate of each prompt's last update -> `sample_counts` -> groups of the next one. Our
own rule, without a paper; what the field calls dynamic sample allocation.
"""

from collections.abc import Sequence

from data.memory import Record
from data.types import Group, Verdict
from rl.allocation.allocation import Allocation, GradientNorms
from rl.allocation.config import VarianceConfig
from rl.allocation.pilots import PASS_RATE, Pilots, pass_rate, pass_rates
from rollout.scheduling.sample_counts import sample_counts


def measured(
    groups: Sequence[Group],
    verdicts: Sequence[Sequence[Verdict]],
    step: int,
    learner: GradientNorms,
) -> dict[str, Record]:
    """The pass rate of every prompt of an update; the learner is not asked."""
    rates = pass_rates(groups, verdicts)
    return {prompt_id: {PASS_RATE: rate} for prompt_id, rate in rates.items()}


def build_variance(config: VarianceConfig) -> Allocation:
    """Groups in proportion to p (1 - p)."""

    def counts(records: Sequence[Record]) -> list[int]:
        rates = [pass_rate(record) for record in records]
        return sample_counts(rates, len(rates), least=0, most=config.most_groups)

    return Pilots(config.refresh_steps, measured, counts)
