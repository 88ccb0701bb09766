"""The guards of the draft budget: it changes only for a gain, is held a while, and can be off.

A pure state machine over predicted goodputs. The budget is held as drafts per row, so that it
follows the number of rows from step to step.
"""

import numpy as np

from rollout.drafting.step_cost import Floats

WORTHWHILE_GAIN = 0.05
"""Predicted gain in goodput for which a budget that was just held long enough changes."""
STEPS_HELD = 8
"""Steps that a budget is held, and steps without a worthwhile draft that end drafting."""
WORTHWHILE_SPEEDUP = 1.02
"""Predicted speed-up over plain decoding, below which a step verifies nothing."""
PROBE_EVERY = 50
"""One step in so many is a probe: neither acceptance nor cost must go unknown."""
COST_PROBES = (0.0, 0.5, 2.0)
"""What probes verify in turn while drafting is on, as multiples of the budget."""


class Budget:
    """How many drafts a step verifies."""

    def __init__(self) -> None:
        self._per_row: float | None = None
        self._steps_held = 0
        self._steps_worthless = 0
        self._steps_since_probe = 0
        self._num_cost_probes = 0

    @property
    def is_on(self) -> bool:
        """False after so many steps without a worthwhile draft that drafting itself is waste."""
        return self._steps_worthless < STEPS_HELD

    @property
    def is_held(self) -> bool:
        """False before the first choice."""
        return self._per_row is not None

    @property
    def is_probe_due(self) -> bool:
        return self._steps_since_probe >= PROBE_EVERY - 1

    def probe_now(self) -> None:
        """The next step drafts, even where drafting is off."""
        self._steps_since_probe = PROBE_EVERY

    def held(self, rows: int, offered: int) -> int:
        """The held budget in slots, at most the `offered` ones; 0 while off."""
        assert self._per_row is not None, "nothing was chosen yet"
        if not self.is_on:
            return 0
        return min(round(self._per_row * rows), offered)

    def pass_by(self) -> None:
        """A step in which nothing is offered: it decides nothing, and the budget is held."""
        self._steps_since_probe += 1
        self._steps_held += 1

    def choose(self, rates: Floats, rows: int, plain_rate: float) -> int:
        """Slots to verify, given goodputs by number of slots [offered + 1] and without drafting."""
        offered = len(rates) - 1
        probing, was_on = self.is_probe_due, self.is_on
        self._steps_since_probe += 1
        chosen = self._changed(rates, rows)
        is_worthwhile = bool(rates[chosen] >= WORTHWHILE_SPEEDUP * plain_rate)
        self._steps_worthless = 0 if is_worthwhile else self._steps_worthless + 1
        if probing:
            self._steps_since_probe = 0
        if not is_worthwhile:
            return min(rows, offered) if probing else 0
        return min(self._cost_probe(chosen), offered) if probing and was_on else chosen

    def _changed(self, rates: Floats, rows: int) -> int:
        """The held budget after the change that this step's goodputs warrant.

        The gain that it takes falls with the time held: a small gain counts once it lasts.
        """
        self._steps_held += 1
        best = int(np.argmax(rates))
        if self._per_row is not None:
            held = min(round(self._per_row * rows), len(rates) - 1)
            gain = rates[best] / rates[held] - 1
            needed = WORTHWHILE_GAIN * STEPS_HELD / self._steps_held
            if self._steps_held < STEPS_HELD or gain <= needed:
                return held
        self._per_row, self._steps_held = best / rows, 0
        return best

    def _cost_probe(self, chosen: int) -> int:
        factor = COST_PROBES[self._num_cost_probes % len(COST_PROBES)]
        self._num_cost_probes += 1
        return round(factor * chosen)
