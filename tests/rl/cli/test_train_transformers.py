"""The quickstart for two steps on the transformers engine: the path of a machine without vLLM."""

import json
from pathlib import Path

import pytest
import transformers

from tests.rl.cli.test_train import launch, rows

pytestmark = pytest.mark.engine


def test_training_on_the_transformers_engine_passes_its_probe_and_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = launch("rollout=transformers", f"run.dir={folder}", "num_steps=2", "log.wandb=off")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["engine"] == f"transformers {transformers.__version__}"
    steps = [row for row in rows(folder / "metrics.jsonl") if "loss" in row]
    assert [row["step"] for row in steps] == [1, 2]
    assert max(row["probe/max_logprob_gap"] for row in steps) <= 1e-4
    assert max(row["sampling/sampling_logp_difference/mean"] for row in steps) <= 1e-6
    # Of 25,000 tokens the least likely one: float32 leaves it up to 1.1e-4, the probe allows 1e-3.
    assert max(row["sampling/sampling_logp_difference/max"] for row in steps) <= 1e-3
