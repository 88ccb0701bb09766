"""Replays recorded rollouts through the learner, alone or under torchrun, and writes what came out.

python replay_driver.py MODEL RECORDING OUTPUT '{"learner": {...}, "algorithm": {...}}'
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.config import ModelConfig
from rl.algorithms.table import ALGORITHMS
from rl.config import KlEstimator, LearnerConfig, LoraConfig, RunConfig, Schedule
from rl.learner.channel import Packed, Work, unpack
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import start_process_group, stop_process_group
from rl.learner.ranks import LearnerGroup, serve
from rollout.config import RolloutConfig


def run_config(options: dict[str, Any]) -> RunConfig:
    learner = {"learning_rate": 1.5e-4, "max_tokens_per_microbatch": 128}
    learner |= options.get("learner", {})
    learner["lora"] = LoraConfig(**learner.get("lora", {}))
    learner["schedule"] = Schedule[learner.get("schedule", "constant")]
    algorithm = {"num_minibatches": 2} | options.get("algorithm", {})
    algorithm["kl_estimator"] = KlEstimator[algorithm.get("kl_estimator", "k3")]
    method = ALGORITHMS[options.get("method", "grpo")]
    return RunConfig(
        model=ModelConfig(path="tiny", dtype=options.get("dtype", "float32")),
        algorithm=method.config(**algorithm),
        learner=LearnerConfig(**learner),
        rollout=RolloutConfig(**options.get("rollout", {})),
        num_steps=5,
    )


def read_steps(recording: Path) -> Work:
    """Per recorded step its minibatches of weighted rows."""
    arrays = np.load(recording)
    return unpack(Packed(arrays["integers"], arrays["floats"]))


def replay(group: LearnerGroup, steps: Work, with_reference: bool) -> dict[str, Any]:
    """Metrics of every step, and the log-probs that the final policy gives to the last rows.

    `with_reference` adds those of the initial policy.
    """
    metrics = [group.update(minibatches) for minibatches in steps]
    rows = [row for minibatch in steps[-1] for row in minibatch]
    logprobs = [array.tolist() for array in group.logprobs(rows)]
    found = {"metrics": metrics, "logprobs": logprobs}
    if with_reference:
        found["reference"] = [array.tolist() for array in group.reference_logprobs(rows)]
    return found


def main(model: Path, recording: Path, output: Path, options: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    config = run_config(options)
    ranks = start_process_group()
    learner = DeepSpeedLearner(config, str(model), ranks)
    if ranks.is_first:
        group = LearnerGroup(learner, config, ranks)
        found = replay(group, read_steps(recording), config.algorithm.needs_reference)
        output.write_text(json.dumps(found))
        group.close()
    else:
        serve(learner)
    stop_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]))
