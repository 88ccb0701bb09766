"""Trains a draft model on recorded rollouts, alone or under torchrun, and writes what came out.

python drafter_driver.py MODEL RECORDING FOLDER OPTIONS     (options as for replay_driver.py)
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from replay_driver import read_steps, run_config

from rl.algorithms.aggregation import token_mean
from rl.learner.batch import Row, even_minibatches
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import start_process_group, stop_process_group
from rl.learner.ranks import LearnerGroup, serve


def exercise(group: LearnerGroup, step: list[list[Row]], folder: Path) -> dict[str, Any]:
    """Metrics of five updates on the same rows, the policy moving in between; the last one is made
    again after what was saved before it was restored."""
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


def main(model: Path, recording: Path, folder: Path, options: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    config = run_config(options)
    ranks = start_process_group()
    learner = DeepSpeedLearner(config, str(model), ranks, options["drafter"])
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
