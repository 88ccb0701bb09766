"""The goodput controller: how many drafts of each row are verified in the next engine step.

Flow, once per step: `observe` what became of the last one; `wants_drafts`; the drafter makes a
`Proposal`; `decide` how many slots of each row to keep. SmartSpec's argmax (arXiv:2406.14066) over
vLLM 0.32's ranked slots, held steady by guards. With one-hot drafts the output is exactly the
policy's whatever is kept; with drafts that were sampled and are verified by ratio it is so only
while `Proposal.probabilities` do not depend on the drafted tokens.
"""

from dataclasses import dataclass

import numpy as np

from rollout.drafting import cold_start
from rollout.drafting.acceptance_model import AcceptanceModel, Proposal
from rollout.drafting.budget import Budget
from rollout.drafting.goodput import (
    Counts,
    admitted,
    expected_accepted,
    goodputs,
    survivals,
)
from rollout.drafting.step_cost import Floats, StepCostTable
from rollout.drafting.step_times import FEWEST_STEPS, StepTimes, nearest_power

PREFILL_HEAVY = 0.25
"""Share of prompt tokens in a step, above which its time says nothing about decoding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the step that `decide` shaped.

    `accepted` [rows] counts what the engine accepted of each row's drafts, -1 where the row is
    gone; `seconds` is its step without drafting; `prompt_tokens` of new rows were read in it.
    """

    accepted: Counts
    seconds: float
    prompt_tokens: int


class Controller:
    """Decides the drafts of every step of one engine, whose chains have `most_drafts` slots."""

    def __init__(self, most_drafts: int) -> None:
        self._acceptance = AcceptanceModel(most_drafts)
        self._times = StepTimes()
        self._cold_length = cold_start.FIRST_LENGTH
        self._budgets: dict[int, Budget] = {}
        self._frozen = False
        self._last: _Decision | None = None

    def wants_drafts(self, rows: int) -> bool:
        """Whether the drafter should draft for `rows` rows; otherwise the proposal is empty."""
        if self._times.table() is None:
            return self._times.plain_steps >= FEWEST_STEPS
        budget = self._budget(rows)
        return budget.is_on or budget.is_probe_due

    def decide(self, proposal: Proposal) -> Counts:
        """How many slots of each row's chain to verify [rows]."""
        if not len(proposal.probabilities):
            return self._nothing_to_decide(proposal)
        survival = survivals(self._acceptance.predict(proposal), proposal.lengths)
        table = self._times.table()
        if table is None:
            length = cold_start.tried_length(self._cold_length, self._times.drafting_steps)
            kept = np.minimum(proposal.lengths, length)
        else:
            num_slots = self._num_slots(table, proposal, survival)
            kept = admitted(survival, proposal.lengths, num_slots)
        self._last = _Decision(proposal=proposal, kept=kept, survival=survival)
        return kept

    def observe(self, outcome: Outcome) -> float:
        """Learns from the step that the last `decide` shaped, if there was one.

        Returns how many accepted tokens it had expected of the rows that are still there.
        """
        if self._last is None:
            return 0.0
        proposal, kept = self._last.proposal, self._last.kept
        self._acceptance.observe(proposal, kept, outcome.accepted)
        beside = int(kept.sum()) + outcome.prompt_tokens
        self._frozen = outcome.prompt_tokens > PREFILL_HEAVY * (len(kept) + beside)
        if not self._frozen:
            # A prompt token costs as a draft does: one more token that the step computes.
            self._times.observe(len(kept), beside, outcome.seconds)
        self._cold_length = cold_start.next_length(self._cold_length, outcome.accepted, kept)
        present = np.where(outcome.accepted >= 0, kept, 0)
        return expected_accepted(self._last.survival, proposal.lengths, present)

    def weights_changed(self) -> None:
        """The policy has new weights: acceptance is less certain, and worth a look at once."""
        self._acceptance.age()
        for budget in self._budgets.values():
            budget.probe_now()

    def _nothing_to_decide(self, proposal: Proposal) -> Counts:
        """The answer to a proposal without drafts; quick, for where drafting is off it is all."""
        if self._times.table() is not None:
            self._budget(len(proposal.lengths)).pass_by()
        kept = np.zeros_like(proposal.lengths)
        self._last = _Decision(proposal=proposal, kept=kept, survival=np.zeros(0))
        return kept

    def _num_slots(self, table: StepCostTable, proposal: Proposal, survival: Floats) -> int:
        rows, offered = len(proposal.lengths), len(survival)
        budget = self._budget(rows)
        if self._frozen and budget.is_held:
            return budget.held(rows, offered)
        seconds = table.curve(rows, offered)
        rates = goodputs(survival, rows, seconds + proposal.draft_seconds)
        return budget.choose(rates, rows, rows / seconds[0])

    def _budget(self, rows: int) -> Budget:
        """That of the power of two nearest to `rows`: what pays there need not pay elsewhere."""
        return self._budgets.setdefault(nearest_power(rows), Budget())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decision:
    proposal: Proposal
    kept: Counts
    survival: Floats
