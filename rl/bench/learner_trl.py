"""TRL's GRPOTrainer on one minibatch, again and again: a contender of `rl.bench.learner`.

Its own `train()` with its step, loss and chunked output layer; only the sampling is replaced by the
minibatch. It has no padding-free batches; rows go through the model as many at a time as the limit
of a forward pass allows at the longest. Run as `python -m rl.bench.learner_trl JSON`.
"""

import json
import sys
import tempfile
from time import perf_counter
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from rl.bench.memory import forget_peak, peak_bytes, resident_bytes
from rl.bench.minibatch import (
    Setting,
    make_minibatch,
    rows_at_once,
    write_outcome,
)


class OnMinibatch(GRPOTrainer):
    """The trainer with `minibatch` in the place of what it would sample."""

    minibatch: dict[str, Tensor]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        return dict(self.minibatch)


class Updates(TrainerCallback):
    """Seconds and gradient norms of the optimizer steps."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.norms: list[float] = []
        self._began = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._began = perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(perf_counter() - self._began)

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        if "grad_norm" in logs:
            self.norms.append(logs["grad_norm"])


def main(setting: Setting) -> None:
    """Updates `setting.updates` times after one that warms up."""
    torch.set_num_threads(setting.threads)
    updates = Updates()
    trainer = OnMinibatch(
        model=AutoModelForCausalLM.from_pretrained(setting.model, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(setting.model, padding_side="left"),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=arguments(setting, tempfile.mkdtemp()),
        train_dataset=Dataset.from_dict({"prompt": ["1"] * len(setting.lengths)}),
        callbacks=[updates],
    )
    trainer.minibatch = padded(setting)
    before = resident_bytes()
    forget_peak()
    trainer.train()
    write_outcome(
        setting,
        seconds=updates.seconds[1:],
        peak_bytes=peak_bytes() - before,
        grad_norm=updates.norms[0],
    )


def padded(setting: Setting) -> dict[str, Tensor]:
    """What TRL's sampling returns: responses padded on the right to the longest."""
    minibatch = make_minibatch(setting)
    responses = [torch.from_numpy(response) for response in minibatch.responses]
    prompts = torch.from_numpy(minibatch.prompts)
    return {
        "prompt_ids": prompts,
        "prompt_mask": torch.ones_like(prompts),
        "completion_ids": pad_sequence(responses, batch_first=True),
        "completion_mask": pad_sequence([torch.ones_like(r) for r in responses], batch_first=True),
        "advantages": torch.from_numpy(minibatch.advantages),
        "num_items_in_batch": torch.tensor(sum(setting.lengths)),
    }


def arguments(setting: Setting, folder: str) -> GRPOConfig:
    """TRL's options: our loss, and nothing that costs time and is not asked of us too."""
    rows = rows_at_once(setting)
    return GRPOConfig(
        output_dir=folder,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        loss_type="dapo",
        beta=0.0,
        num_iterations=1,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=len(setting.lengths) // rows,
        num_generations=setting.group_size,
        max_completion_length=max(setting.lengths),
        temperature=1.0,
        learning_rate=setting.learning_rate,
        lr_scheduler_type="constant",
        epsilon_high=0.28,
        max_steps=1 + setting.updates,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        dataloader_num_workers=0,
    )


if __name__ == "__main__":
    main(Setting(**json.loads(sys.argv[1])))
