"""Measured steps of the running engine, kept by cell, from which the step-cost table is made.

Flow: `observe` files each step under its nearest cell (rows, drafts per row); `table` scales a
linear time model to each cell's median and gives cells without a measurement the model's value.
"""

from collections import deque
from itertools import product

import numpy as np

from rollout.drafting.step_cost import Floats, StepCostTable, isotonic

DRAFTS_PER_ROW = (0, 1, 2, 3, 4, 6, 8, 12, 16)
"""The grid of verified drafts per row; rows have the powers of two."""
KEPT_STEPS = 64
"""The newest steps of a cell, of which the median is taken."""
FEWEST_STEPS = 8
"""Plain steps, and drafting steps, without which there is no table."""
NEW_TABLE_EVERY = 16
"""Steps between two tables."""

Cell = tuple[int, int]
Step = tuple[int, int, float]


class StepTimes:
    """The newest measured steps of every cell."""

    def __init__(self) -> None:
        self._cells: dict[Cell, deque[Step]] = {}
        self._table: StepCostTable | None = None
        self._num_new = 0

    @property
    def plain_steps(self) -> int:
        """Kept steps that verified no draft."""
        return sum(len(steps) for (_, drafts), steps in self._cells.items() if drafts == 0)

    @property
    def drafting_steps(self) -> int:
        """Kept steps that verified drafts."""
        return sum(map(len, self._cells.values())) - self.plain_steps

    def observe(self, rows: int, drafts: int, seconds: float) -> None:
        """A step of `rows` running rows verified `drafts` tokens in all and took `seconds`."""
        steps = self._cells.setdefault(nearest_cell(rows, drafts), deque(maxlen=KEPT_STEPS))
        steps.append((rows, drafts, seconds))
        self._num_new += 1

    def table(self) -> StepCostTable | None:
        """The table of the kept steps; None before both kinds of step were measured."""
        if min(self.plain_steps, self.drafting_steps) < FEWEST_STEPS:
            return None
        if self._table is None or self._num_new >= NEW_TABLE_EVERY:
            self._table, self._num_new = cost_table(list(self._cells.values())), 0
        return self._table


def nearest_cell(rows: int, drafts: int) -> Cell:
    """The power of two nearest to `rows` and the grid's drafts per row nearest to drafts / rows.

    A step with any draft is not a plain one: its cell has at least one draft per row.
    """
    power = nearest_power(rows)
    if drafts == 0:
        return power, 0
    return power, min(DRAFTS_PER_ROW[1:], key=lambda grid: abs(grid - drafts / rows))


def nearest_power(rows: int) -> int:
    """The power of two nearest to `rows`, by their logarithms."""
    return int(2 ** round(np.log2(rows)))


def linear_model(steps: list[Step]) -> Floats:
    """c of seconds = c_0 + c_1 rows + c_2 drafts, [3], none below 0, by relative least squares.

    SmartSpec's linear time model (arXiv:2406.14066) without its context tokens. Relative, because
    a step of 256 rows must not drown the error of a step of one.
    """
    rows, drafts, seconds = np.array(steps, dtype=np.float64).T
    design = np.stack([np.ones_like(rows), rows, drafts], axis=1) / seconds[:, None]
    solution = np.linalg.lstsq(design, np.ones_like(seconds), rcond=None)[0]
    return np.asarray(np.maximum(solution, 0.0))


def cost_table(cells: list[deque[Step]]) -> StepCostTable:
    """The table of measured cells: the linear model times each cell's median ratio to it.

    The ratio, not the seconds, is what is kept of a cell: steps lie beside the cell's centre.
    """
    model = linear_model([step for steps in cells for step in steps])
    ratios = {
        nearest_cell(*steps[0][:2]): float(
            np.median([seconds / (model @ (1, rows, drafts)) for rows, drafts, seconds in steps])
        )
        for steps in cells
    }
    counts = {nearest_cell(*steps[0][:2]): len(steps) for steps in cells}
    elsewhere = float(np.median(list(ratios.values())))
    rows_grid = sorted({rows for rows, _ in ratios})
    seconds = np.empty((len(rows_grid), len(DRAFTS_PER_ROW)))
    weights = np.ones_like(seconds)
    for (i, rows), (k, drafts) in product(enumerate(rows_grid), enumerate(DRAFTS_PER_ROW)):
        seconds[i, k] = model @ (1, rows, rows * drafts) * ratios.get((rows, drafts), elsewhere)
        weights[i, k] += counts.get((rows, drafts), 0)
    return StepCostTable(
        rows=np.array(rows_grid, dtype=np.float64),
        drafts_per_row=np.array(DRAFTS_PER_ROW, dtype=np.float64),
        seconds=np.array([isotonic(s, w) for s, w in zip(seconds, weights, strict=True)]),
    )
