"""A follower that fails in an update: the run must end with its message.

torchrun --nproc-per-node 2 failing_driver.py MODEL RECORDING
"""

import sys
from pathlib import Path

import torch
from replay_driver import read_steps, run_config

from rl.learner.deepspeed_learner import DeepSpeedLearner, MicroBatches
from rl.learner.process_group import start_process_group
from rl.learner.ranks import LearnerGroup, serve


class Failing(DeepSpeedLearner):
    def update(self, minibatches: list[MicroBatches]) -> dict[str, float]:
        raise ValueError("this follower has had enough")


if __name__ == "__main__":
    torch.set_num_threads(1)
    config = run_config({"learner": {"zero_stage": 2}})
    ranks = start_process_group()
    if ranks.is_first:
        group = LearnerGroup(DeepSpeedLearner(config, sys.argv[1], ranks), config, ranks)
        group.update(read_steps(Path(sys.argv[2]))[0])
    else:
        serve(Failing(config, sys.argv[1], ranks))
