"""Measured steps of the running engine, kept by cell, from which the step-cost table is made.

Flow: `observe` files each step under its nearest cell (rows, drafts per row); `table` scales a
linear time model to each cell's median and gives cells without a measurement the model's value.
"""

from collections import deque
from itertools import product
from statistics import median

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
            self._table, self._num_new = cost_table(self._cells), 0
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


def linear_model(steps: Floats) -> Floats:
    """c of seconds = c_0 + c_1 rows + c_2 drafts, [3], none below 0, by relative least squares.

    `steps` [S, 3] holds rows, drafts and seconds. SmartSpec's linear time model (arXiv:2406.14066)
    without its context tokens. Relative, because a step of 256 rows must not drown the error of a
    step of one.
    """
    rows, drafts, seconds = steps.T
    design = np.stack([np.ones_like(rows), rows, drafts], axis=1) / seconds[:, None]
    solution = np.linalg.lstsq(design, np.ones_like(seconds), rcond=None)[0]
    return np.asarray(np.maximum(solution, 0.0))


def cost_table(cells: dict[Cell, deque[Step]]) -> StepCostTable:
    """The table of measured cells: the linear model times each cell's median ratio to it.

    The ratio, not the seconds, is what is kept of a cell: steps lie beside the cell's centre.
    """
    steps = np.array([step for of_cell in cells.values() for step in of_cell], np.float64)
    counts = {cell: len(of_cell) for cell, of_cell in cells.items()}
    model = linear_model(steps)
    of_steps = steps[:, 2] / (model[0] + steps[:, :2] @ model[1:])
    ends = np.cumsum(list(counts.values()))
    ratios = {
        cell: median(of_cell.tolist())
        for cell, of_cell in zip(counts, np.split(of_steps, ends[:-1]), strict=True)
    }
    elsewhere = median(ratios.values())
    rows_grid = sorted({rows for rows, _ in cells})
    seconds = np.empty((len(rows_grid), len(DRAFTS_PER_ROW)))
    weights = np.ones_like(seconds)
    for (i, rows), (k, drafts) in product(enumerate(rows_grid), enumerate(DRAFTS_PER_ROW)):
        centre = model[0] + model[1] * rows + model[2] * rows * drafts
        seconds[i, k] = centre * ratios.get((rows, drafts), elsewhere)
        weights[i, k] += counts.get((rows, drafts), 0)
    return StepCostTable(
        rows=np.array(rows_grid, dtype=np.float64),
        drafts_per_row=np.array(DRAFTS_PER_ROW, dtype=np.float64),
        seconds=np.array([isotonic(s, w) for s, w in zip(seconds, weights, strict=True)]),
    )
