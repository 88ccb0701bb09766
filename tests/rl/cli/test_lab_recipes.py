"""Every lab recipe for two steps, launched as its second line says, on real vLLM and DeepSpeed."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from rl.run.history_check import history_problems

LAB = Path(__file__).resolve().parents[3] / "recipes" / "lab"
TORCHRUN = Path(sys.executable).with_name("torchrun")
SMALL = (
    "num_steps=2", "prompts_per_step=8", "evaluation.num_problems=4", "rollout.kv_cache_gib=0.5",
    "evaluation.samples_per_problem=1", "log.wandb=off", "log.progress=false",
)  # fmt: skip

pytestmark = [pytest.mark.engine, pytest.mark.long]


@pytest.mark.parametrize("name", sorted(path.stem for path in LAB.glob("*.yaml")))
def test_every_recipe_trains(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = subprocess.run(
        [str(TORCHRUN), str(LAB / f"{name}.yaml"), *SMALL, f"run.dir={folder}"],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert len(losses) == 2 and all(map(math.isfinite, losses))
    assert history_problems(folder) == []
    assert (folder / "export" / "model.safetensors").is_file()
