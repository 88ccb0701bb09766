"""Our learner on one minibatch, again and again: a contender of `rl.bench.learner`.

With the options' defaults, ZeRO stage 2 on one rank. Run as `python -m rl.bench.learner_ours JSON`.
"""

import json
import sys
from time import perf_counter

import numpy as np
import torch

from data.config import ModelConfig
from rl.algorithms.aggregation import token_mean
from rl.algorithms.grpo import GrpoConfig
from rl.bench.memory import forget_peak, peak_bytes, resident_bytes
from rl.bench.minibatch import (
    Minibatch,
    Setting,
    make_minibatch,
    write_outcome,
)
from rl.config import LearnerConfig, RunConfig
from rl.learner.batch import Row, weighted
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import start_process_group, stop_process_group
from rl.learner.ranks import LearnerGroup


def main(setting: Setting) -> None:
    """Updates `setting.updates` times after one that warms up."""
    torch.set_num_threads(setting.threads)
    ranks = start_process_group()
    config = run_config(setting)
    learner = LearnerGroup(DeepSpeedLearner(config, setting.model, ranks), config, ranks)
    rows = weighted(rows_of(make_minibatch(setting), setting.group_size), token_mean)
    before = resident_bytes()
    forget_peak()
    norms, seconds = [], []
    for _ in range(1 + setting.updates):
        began = perf_counter()
        norms.append(learner.update([rows])["grad_norm"])
        seconds.append(perf_counter() - began)
    write_outcome(
        setting, seconds=seconds[1:], peak_bytes=peak_bytes() - before, grad_norm=norms[0]
    )
    learner.close()
    stop_process_group()


def run_config(setting: Setting) -> RunConfig:
    """GRPO with the token mean, on policy."""
    return RunConfig(
        model=ModelConfig(path=setting.model, dtype="float32"),
        algorithm=GrpoConfig(num_minibatches=1),
        learner=LearnerConfig(
            learning_rate=setting.learning_rate, max_tokens_per_microbatch=setting.max_tokens
        ),
        num_steps=1 + setting.updates,
    )


def rows_of(minibatch: Minibatch, group_size: int) -> list[Row]:
    """The learner's rows; what the sampler's log-probs were is not asked for."""
    return [
        Row(
            token_ids=np.concatenate([prompt, response]).astype(np.int32),
            prompt_length=len(prompt),
            mask=np.ones(len(response), np.bool_),
            sampler_logprobs=np.zeros(len(response), np.float32),
            advantages=np.full(len(response), advantage, np.float32),
            ages=np.zeros(len(response), np.int32),
            group=number // group_size,
        )
        for number, (prompt, response, advantage) in enumerate(
            zip(minibatch.prompts, minibatch.responses, minibatch.advantages, strict=True)
        )
    ]


if __name__ == "__main__":
    main(Setting(**json.loads(sys.argv[1])))
