"""One leg of runs whose number of ranks changes: loads, saves what it loaded, trains to the end.

python reranks_driver.py MODEL RECORDING FOLDER '{"cases": {NAME: {...}}, "load": "", "save": "A"}'

Each case has the options of replay_driver.py and a folder of its own. A leg that loads nothing
trains the first steps itself.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from critic_driver import train
from replay_driver import read_steps, run_config

from rl.learner.channel import Work
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import Ranks, start_process_group, stop_process_group
from rl.learner.ranks import LearnerGroup, serve

SAVED = 2
"""Steps before the checkpoint; where there is a critic, it trains alone in them."""


def train_steps(group: LearnerGroup, steps: Work, begin: int, end: int, critic: bool) -> None:
    for number in range(begin, end):
        if critic:
            train(group, steps[number])
        if not critic or number >= SAVED:
            group.update(steps[number])


def run(group: LearnerGroup, steps: Work, folder: Path, load: str, save: str, critic: bool) -> None:
    """This leg; whole weights, and the values of a critic, as they are at its end."""
    if load:
        group.load(folder / load / "learner")
    else:
        train_steps(group, steps, 0, SAVED, critic)
    group.save(folder / save / "learner")
    train_steps(group, steps, SAVED, len(steps), critic)
    found = group.fingerprints(lambda name, tensor: tensor.float().clone())
    arrays = {name: tensor.numpy() for name, tensor in found.items()}
    if critic:
        rows = [row for minibatch in steps[-1] for row in minibatch]
        arrays["values"] = np.concatenate(group.values(rows))
    np.savez(folder / f"{save}.npz", **arrays)


def main(model: Path, recording: Path, folder: Path, leg: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    ranks, steps = start_process_group(), read_steps(recording)
    for name, options in leg["cases"].items():
        run_case(model, steps, folder / name, options, leg["load"], leg["save"], ranks)
    stop_process_group()


def run_case(
    model: Path,
    steps: Work,
    folder: Path,
    options: dict[str, Any],
    load: str,
    save: str,
    ranks: Ranks,
) -> None:
    """The leg of one case, on a learner of its own."""
    config = run_config(options)
    learner = DeepSpeedLearner(config, str(model), ranks)
    if ranks.is_first:
        group = LearnerGroup(learner, config, ranks)
        run(group, steps, folder, load, save, "critic" in options)
        group.close()
    else:
        serve(learner)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]))
