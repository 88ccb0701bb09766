"""Run folders as a finished or interrupted run leaves them, made without an engine."""

import asyncio
import json
from pathlib import Path

from rl.evaluate.evaluate import evaluate
from rl.evaluate.evaluation import Evaluation, summary_figures
from rl.run.completions import write_evaluation
from tests.rl.builders import TableEngine, prompt, verify_text

RECIPE = """\
# GRPO (arXiv:2402.03300) on four problems.
# Run: torchrun recipes/grpo.yaml
defaults: [schema, reward: correct, gate: none, algorithm: grpo, limit: constant, _self_]
model: {path: %s, revision: main, dtype: float32}
data: {path: someone/problems, split: train, eval_path: /home/ada/held_out.jsonl, eval_split: test}
learner: {lora: {rank: 0, alpha: 32.0, dropout: 0.0, target_modules: [all-linear]}}
evaluation: {temperature: 1.0}
log: {project: laconic}
run: {dir: /home/ada/runs/one}
seed: 1
num_steps: 30
resume: ''
"""
PROMPTS = [prompt("a", level=2), prompt("b", level=10)]
BEFORE = {"a": [(8, "4"), (14, "4"), (8, "4")], "b": [(12, "4"), (16, "no"), (16, "no")]}
AFTER = {"a": [(2, "4"), (3, "4"), (2, "4")], "b": [(4, "4"), (6, "4"), (4, "4")]}


def write_run(folder: Path, model: str = "someone/model", *, finished: bool = True) -> Path:
    """A run of 30 steps with both evaluations; unfinished without the second and the summary."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE % model)
    base = evaluated(BEFORE)
    write_evaluation(folder, 0, base)
    if not finished:
        return folder
    final = evaluated(AFTER)
    write_evaluation(folder, 30, final)
    summary = {
        "recipe": "grpo", "engine": "vllm 0.32.0", "commit": "c0ffee", "seed": 1, "steps": 30,
        "base": summary_figures(base), "final": summary_figures(final),
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))
    export = folder / "export"
    export.mkdir()
    (export / "config.json").write_text("{}")
    (export / "model.safetensors").write_bytes(b"weights" * 1000)
    return folder


def evaluated(answers: dict[str, list[tuple[int, str]]]) -> Evaluation:
    return asyncio.run(
        evaluate(
            TableEngine(answers), PROMPTS, verify_text, name="x", limit=16, samples_per_problem=2
        )
    )
