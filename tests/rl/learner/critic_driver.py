"""Trains a critic on recorded rollouts, alone or under torchrun, and writes what came out.

python critic_driver.py MODEL RECORDING FOLDER OPTIONS     (options as for replay_driver.py)
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from replay_driver import read_steps, run_config

from rl.algorithms.aggregation import sequence_mean_token_mean
from rl.learner.batch import Row, ValueRow, even_minibatches
from rl.learner.critic import Values
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import start_process_group, stop_process_group
from rl.learner.ranks import LearnerGroup, serve


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


def exercise(group: LearnerGroup, step: list[list[Row]], folder: Path) -> dict[str, Any]:
    """Metrics of five updates on the same rows, saved and restored before the last one, and the
    values at the end."""
    metrics = [train(group, step) for _ in range(4)]
    group.save(folder / "checkpoint")
    straight = train(group, step)
    group.load(folder / "checkpoint")
    metrics.append(train(group, step))
    rows = [row for minibatch in step for row in minibatch]
    values = [array.tolist() for array in group.values(rows)]
    return {"metrics": metrics, "straight": straight, "values": values}


def main(model: Path, recording: Path, folder: Path, options: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    config = run_config(options)
    ranks = start_process_group()
    learner = DeepSpeedLearner(config, str(model), ranks)
    if ranks.is_first:
        group = LearnerGroup(learner, config, ranks)
        found = exercise(group, read_steps(recording)[0], folder)
        group.close()
        (folder / "out.json").write_text(json.dumps(found))
    else:
        serve(learner)
    stop_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]))
