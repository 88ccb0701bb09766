"""Trains a draft model on recorded rollouts, alone or under torchrun, and writes what came out.

python drafter_driver.py MODEL RECORDING FOLDER OPTIONS     (options as for replay_driver.py)
"""

from pathlib import Path
from typing import Any

from replay_driver import drive_in_folder

from rl.algorithms.aggregation import token_mean
from rl.learner.batch import even_minibatches
from rl.learner.channel import Work
from rl.learner.ranks import LearnerGroup


def exercise(group: LearnerGroup, steps: Work, folder: Path) -> dict[str, Any]:
    """Metrics of five updates on the same rows, the policy moving in between; the last one is made
    again after what was saved before it was restored."""
    step = steps[0]
    rows = [row for minibatch in step for row in minibatch]
    minibatches = even_minibatches(rows, 3, token_mean)
    metrics = []
    for _ in range(4):
        metrics.append(group.update_drafter(minibatches))
        group.update(step)
    group.save(folder / "checkpoint")
    straight = group.update_drafter(minibatches)
    group.load(folder / "checkpoint")
    metrics.append(group.update_drafter(minibatches))
    return {"metrics": metrics, "straight": straight}


if __name__ == "__main__":
    drive_in_folder(exercise)
