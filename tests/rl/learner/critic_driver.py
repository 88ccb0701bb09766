"""Trains a critic on recorded rollouts, alone or under torchrun, and writes what came out.

python critic_driver.py MODEL RECORDING FOLDER OPTIONS     (options as for replay_driver.py)
"""

from pathlib import Path
from typing import Any

import numpy as np
from replay_driver import drive_in_folder

from rl.algorithms.aggregation import sequence_mean_token_mean
from rl.learner.batch import Row, ValueRow, even_minibatches
from rl.learner.channel import Work
from rl.learner.critic import Values
from rl.learner.ranks import LearnerGroup


def targets(rows: list[Row], values: list[Values]) -> list[ValueRow]:
    """Rows that are to learn the sign of their advantage, from the values that they have."""
    return [
        ValueRow(
            token_ids=row.token_ids,
            prompt_length=row.prompt_length,
            mask=row.mask,
            old_values=of_row[:-1],
            returns=np.sign(row.advantages),
        )
        for row, of_row in zip(rows, values, strict=True)
    ]


def train(group: LearnerGroup, step: list[list[Row]]) -> dict[str, float]:
    """One update of the critic in two minibatches, on rows of their own order."""
    rows = [row for minibatch in step for row in minibatch]
    value_rows = targets(rows, group.values(rows))
    return group.update_critic(even_minibatches(value_rows, 2, sequence_mean_token_mean))


def exercise(group: LearnerGroup, steps: Work, folder: Path) -> dict[str, Any]:
    """Metrics of five updates on the same rows, saved and restored before the last one, and the
    values at the end."""
    step = steps[0]
    metrics = [train(group, step) for _ in range(4)]
    group.save(folder / "checkpoint")
    straight = train(group, step)
    group.load(folder / "checkpoint")
    metrics.append(train(group, step))
    rows = [row for minibatch in step for row in minibatch]
    values = [array.tolist() for array in group.values(rows)]
    return {"metrics": metrics, "straight": straight, "values": values}


if __name__ == "__main__":
    drive_in_folder(exercise)
