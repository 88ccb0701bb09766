"""Replays recorded rollouts through the learner, alone or under torchrun, and writes what came out.

python replay_driver.py MODEL RECORDING OUTPUT '{"learner": {...}, "correction": {"name": ...}}'
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.config import ModelConfig
from rl.algorithms.config import CorrectionConfig
from rl.algorithms.table import ACTOR_CRITICS, ALGORITHMS
from rl.cli.options import GROUPS
from rl.config import (
    Backbone,
    CriticConfig,
    DraftLearnerConfig,
    KlEstimator,
    LearnerConfig,
    LoraConfig,
    Offload,
    RunConfig,
    Schedule,
)
from rl.learner.batch import Row
from rl.learner.channel import Packed, Work, unpack
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import start_process_group, stop_process_group
from rl.learner.ranks import LearnerGroup, serve
from rollout.config import RolloutConfig, Speculation, VllmConfig
from rollout.drafting.config import DraftModelConfig

Exercise = Callable[[LearnerGroup, Work, RunConfig], dict[str, Any]]
"""From the learner, the recorded steps and the config to what is written."""


def correction_config(name: str = "none", **options: Any) -> CorrectionConfig:
    config: CorrectionConfig = GROUPS["correction"][name].config(**options)
    return config


def critic_config(backbone: str = "separate", **options: Any) -> CriticConfig:
    return CriticConfig(backbone=Backbone[backbone], **options)


def rollout_config(drafter: str, options: dict[str, Any]) -> RolloutConfig:
    if not drafter:
        return RolloutConfig(**options)
    drafts = DraftModelConfig(path=drafter)
    return VllmConfig(speculation=Speculation.draft_model, draft_model=drafts, **options)


def run_config(options: dict[str, Any]) -> RunConfig:
    learner = {"learning_rate": 1.5e-4, "max_tokens_per_microbatch": 128}
    learner |= options.get("learner", {})
    learner["lora"] = LoraConfig(**learner.get("lora", {}))
    learner["draft_model"] = DraftLearnerConfig(**learner.get("draft_model", {}))
    learner["offload"] = Offload[learner.get("offload", "none")]
    learner["schedule"] = Schedule[learner.get("schedule", "constant")]
    algorithm = {"num_minibatches": 2} | options.get("algorithm", {})
    algorithm["kl_estimator"] = KlEstimator[algorithm.get("kl_estimator", "k3")]
    name = options.get("method", "grpo")
    if "critic" in options:
        name, algorithm["critic"] = "ppo", critic_config(**options["critic"])
    method = (ALGORITHMS | ACTOR_CRITICS)[name]
    return RunConfig(
        model=ModelConfig(path="tiny", dtype=options.get("dtype", "float32")),
        algorithm=method.config(**algorithm),
        learner=LearnerConfig(**learner),
        correction=correction_config(**options.get("correction", {})),
        rollout=rollout_config(options.get("drafter", ""), options.get("rollout", {})),
        num_steps=5,
    )


def read_steps(recording: Path) -> Work:
    """Per recorded step its minibatches of weighted rows."""
    arrays = np.load(recording)
    return unpack(Packed(arrays["integers"], arrays["floats"]), Row)


def replay(group: LearnerGroup, steps: Work, config: RunConfig) -> dict[str, Any]:
    """Metrics of every step, and what the final policy makes of the last rows.

    Their log-probs; those of the initial policy if it is asked for; and how far each row would move
    the output matrix where that is whole.
    """
    metrics = [group.update(minibatches) for minibatches in steps]
    rows = [row for minibatch in steps[-1] for row in minibatch]
    logprobs = [array.tolist() for array in group.logprobs(rows)]
    found = {"metrics": metrics, "logprobs": logprobs, "gradient_norms": []}
    if config.learner.zero_stage < 3 and config.learner.sequence_parallel == 1:
        found["gradient_norms"] = group.gradient_norms(rows)
    if config.algorithm.needs_reference:
        found["reference"] = [array.tolist() for array in group.reference_logprobs(rows)]
    return found


def drive(exercise: Exercise, output: Path) -> None:
    """Writes what `exercise` finds with the learner, all ranks at its command, to `output`.

    Model, recording and options are those of the command line.
    """
    torch.set_num_threads(1)
    options = json.loads(sys.argv[4])
    config = run_config(options)
    ranks = start_process_group()
    learner = DeepSpeedLearner(config, sys.argv[1], ranks, options.get("drafter", ""))
    if ranks.is_first:
        group = LearnerGroup(learner, config, ranks)
        output.write_text(json.dumps(exercise(group, read_steps(Path(sys.argv[2])), config)))
        group.close()
    else:
        serve(learner)
    stop_process_group()


def drive_in_folder(exercise: Callable[[LearnerGroup, Work, Path], dict[str, Any]]) -> None:
    """As `drive`, with a folder for `exercise` in which `out.json` is left."""
    folder = Path(sys.argv[3])
    drive(lambda group, steps, config: exercise(group, steps, folder), folder / "out.json")


if __name__ == "__main__":
    drive(replay, Path(sys.argv[3]))
