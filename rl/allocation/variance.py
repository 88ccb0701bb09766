"""Groups in proportion to the variance of a prompt's outcomes: none where all were right, or wrong.

Flow: the pass rate of each prompt's last update -> `sample_counts` -> groups of the next one.
"""

from collections.abc import Sequence
from typing import Any

from data.memory import Record
from data.types import Group, Prompt, Verdict
from rl.allocation.allocation import Allocation, GradientNorms
from rl.allocation.config import VarianceConfig
from rl.allocation.pilots import PASS_RATE, Pilots, groups_per_prompt, pass_rate, pass_rates
from rollout.scheduling.sample_counts import sample_counts


class Variance:
    """Our own rule, without a paper; what the field calls dynamic sample allocation."""

    def __init__(self, config: VarianceConfig) -> None:
        self._most_groups = config.most_groups
        self._pilots = Pilots(config.refresh_steps)

    def allocate(self, prompts: Sequence[Prompt], step: int) -> list[Prompt]:
        """See `Pilots.allocate`; in proportion to p (1 - p)."""
        return self._pilots.allocate(prompts, step, self._counts)

    def observe(
        self,
        groups: Sequence[Group],
        verdicts: Sequence[Sequence[Verdict]],
        step: int,
        learner: GradientNorms,
    ) -> dict[str, float]:
        """Counts right answers; the learner is not asked."""
        for prompt_id, rate in pass_rates(groups, verdicts).items():
            self._pilots.measure(prompt_id, step, {PASS_RATE: rate})
        return groups_per_prompt(groups)

    def state(self) -> dict[str, Any]:
        return self._pilots.state()

    def load(self, state: dict[str, Any]) -> None:
        self._pilots.load(state)

    def _counts(self, records: Sequence[Record]) -> list[int]:
        rates = [pass_rate(record) for record in records]
        return sample_counts(rates, len(rates), least=0, most=self._most_groups)


def build_variance(config: VarianceConfig) -> Allocation:
    return Variance(config)
