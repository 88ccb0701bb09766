"""A short `GRPOTrainer` run on the lab under torchrun; writes what the rewards saw and returned.

Arguments: the folder to write to, completions per process. Each rank writes `rank_N.json`.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from datasets import Dataset
from transformers import AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from data.rows import LAB, load_rows
from rewards.compose import gated
from rewards.gates.grpo_lambda import TopFractionConfig, build_top_fraction
from rewards.length.sigmoid import SigmoidConfig, build_reward
from rewards.pool import make_pool
from rewards.trl import batch_reward_func, group_reward_func
from rewards.verifiers.math import MathConfig, MathVerifier

SEEN = ("prompts", "completions", "completion_ids", "answer", "source")


def settings(folder: Path, per_device: int) -> GRPOConfig:
    return GRPOConfig(
        output_dir=str(folder / "trl"), use_cpu=True, bf16=False, gradient_checkpointing=False,
        per_device_train_batch_size=per_device, num_generations=4, max_completion_length=60,
        max_steps=2, learning_rate=1e-5, beta=0.0, report_to="none", save_strategy="no",
        logging_steps=1, disable_tqdm=True, seed=0, temperature=1.0,
    )  # fmt: skip


def recorded(function: Callable[..., Any], calls: list[dict[str, Any]]) -> Callable[..., Any]:
    def call(**given: Any) -> list[float | None]:
        values: list[float | None] = function(**given)
        calls.append({name: given[name] for name in SEEN} | {"values": values})
        return values

    return call


class Logs(TrainerCallback):
    """What TRL itself made of the rewards: its log of all processes, step by step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.trainer: GRPOTrainer | None = None

    def on_step_end(self, *_: Any, **__: Any) -> None:
        assert self.trainer is not None
        logs = self.trainer._logs
        self.steps.append({k: list(v) for k, v in logs["rewards"].items()})


def main(folder: Path, per_device: int) -> None:
    args = settings(folder, per_device)
    tokenizer = AutoTokenizer.from_pretrained(LAB / "short")
    verifier, ends = MathVerifier(make_pool(MathConfig())), [tokenizer.eos_token_id]
    sigmoid = build_reward(SigmoidConfig())
    gate = build_top_fraction(TopFractionConfig(fraction=0.5), seed=0)
    calls: dict[str, list[dict[str, Any]]] = {"grouped": [], "ranked": []}
    grouped = recorded(group_reward_func(sigmoid, verifier, args, ends), calls["grouped"])
    ranked = recorded(
        batch_reward_func(gated(sigmoid, gate), verifier, args, ends, gather_object),
        calls["ranked"],
    )
    grouped.__name__, ranked.__name__ = "grouped", "ranked"
    logs = Logs()
    trainer = GRPOTrainer(
        model=str(LAB / "short"),
        reward_funcs=[grouped, ranked],
        args=args,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(load_rows("lab:short", "train")[:64]),
        callbacks=[logs],
    )
    logs.trainer = trainer
    result = trainer.train()
    written = {
        "calls": calls,
        "logs": logs.steps,
        "loss": result.training_loss,
        "metrics": trainer.state.log_history,
    }
    rank = os.environ.get("RANK", "0")
    (folder / f"rank_{rank}.json").write_text(json.dumps(written))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
