"""TRL's GRPOTrainer at its best on the CPU, one of the contenders of `rl.bench.step`.

In float32, without gradient checkpointing, reference model or second iteration; the whole batch in
one forward pass. Its reward compares a digit with the answer: cheaper than our verifier.
Completions come by the faster of its two ways: natural lengths by continuous batching (256 of them
take 12 s of one core, by `generate` 56 s: that steps every row until the longest ends), fixed
lengths by `generate` (4 s against 19 s). Run as `python -m rl.bench.step_trl JSON`.
"""

import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from rl.run.stopwatch import Stopwatch, seconds_of

CONTINUOUS_BATCHING = {"max_batch_tokens": 512, "max_memory_percent": 0.03}
"""Its default cache would be nearly all memory of the machine."""

PROBLEMS = Path(__file__).resolve().parents[2] / "data" / "lab" / "short_train.jsonl"


def correct(completions: list[Any], answer: list[str], **_: Any) -> list[float]:
    """1 where the boxed digit is the answer."""
    found = [re.search(r"boxed\{(\d)\}", one[0]["content"]) for one in completions]
    return [
        float(box is not None and box[1] == right) for box, right in zip(found, answer, strict=True)
    ]


class TimedTrainer(GRPOTrainer):
    """The trainer with a stopwatch around two of its methods."""

    watch = Stopwatch()
    mean_tokens = 0.0

    def _generate(self, prompts: list[Any]) -> Any:
        with self.watch("generate"):
            return super()._generate(prompts)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        with self.watch("prepare"):
            batch: dict[str, Any] = super()._generate_and_score_completions(inputs)
        self.mean_tokens = float(batch["completion_mask"].sum(-1).float().mean())
        return batch


class StepEnds(TrainerCallback):
    """Writes a line when a step ends: the second, the parts, tokens of a completion."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._last = time.perf_counter()
        self.trainer: TimedTrainer | None = None

    def on_step_end(self, *_: Any, **__: Any) -> None:
        assert self.trainer is not None
        now, spans = time.perf_counter(), self.trainer.watch.spans
        parts = seconds_of(spans)
        line = {
            "end": now,
            "generate": parts["generate"],
            "score": parts["prepare"] - parts["generate"],
            "learn": now - self._last - parts["prepare"],
            "sync": 0.0,
            "mean_tokens": self.trainer.mean_tokens,
        }
        with self._output.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._last = now
        spans.clear()


def main(setting: dict[str, Any]) -> None:
    """Trains `setting["steps"]` steps after the one that warms up."""
    torch.set_num_threads(setting["threads"])
    ends = StepEnds(Path(setting["output"]))
    trainer = TimedTrainer(
        model=AutoModelForCausalLM.from_pretrained(setting["model"], dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(setting["model"], padding_side="left"),
        reward_funcs=correct,
        args=arguments(setting, tempfile.mkdtemp()),
        train_dataset=load_dataset("json", data_files=str(PROBLEMS), split="train"),
        callbacks=[ends],
    )
    ends.trainer = trainer
    trainer.train()


def arguments(setting: dict[str, Any], folder: str) -> GRPOConfig:
    """TRL's options: nothing that costs time and is not asked of us too."""
    return GRPOConfig(
        output_dir=folder,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        beta=0.0,
        num_iterations=1,
        per_device_train_batch_size=setting["prompts"] * setting["group_size"],
        gradient_accumulation_steps=1,
        num_generations=setting["group_size"],
        max_completion_length=setting["max_response_tokens"],
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        learning_rate=setting["learning_rate"],
        lr_scheduler_type="constant",
        epsilon_high=0.28,
        use_transformers_continuous_batching=setting["lengths"] == "natural",
        transformers_continuous_batching_config=CONTINUOUS_BATCHING,
        max_steps=1 + setting["steps"],
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        dataloader_num_workers=0,
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
