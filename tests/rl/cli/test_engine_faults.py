"""Engine and tracker fail for real in short runs of the lab."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from rl.run.history_check import history_problems
from rl.run.metrics import varies
from tests.fault_table import AddFault

pytestmark = [pytest.mark.engine, pytest.mark.long]

ROOT = Path(__file__).resolve().parents[3]
DRIVER = Path(__file__).with_name("fault_driver.py")
RECIPE = ROOT / "recipes" / "quickstart.yaml"
SMALL = (
    "num_steps=3", "prompts_per_step=8", "algorithm.group_size=4", "deterministic=true",
    "evaluation.num_problems=8", "evaluation.samples_per_problem=1", "log.progress=false",
    "rollout.kv_cache_gib=0.25", "rollout.hang_seconds=30", "log.completions_per_step=1000",
)  # fmt: skip
COMPLETIONS = 8 * 4


@dataclass(frozen=True, slots=True)
class Ended:
    """A run of the driver: how it ended, what it said, where its files are."""

    code: int
    said: str
    seconds: float
    folder: Path

    def steps(self) -> list[dict[str, float]]:
        """The metrics of every update that two equal runs agree on."""
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        rows = [row for row in map(json.loads, lines) if "loss" in row]
        return [{k: v for k, v in row.items() if k == "step" or not varies(k)} for row in rows]

    def fates(self) -> Counter[str]:
        lines = (self.folder / "history.jsonl").read_text().splitlines()
        return Counter(json.loads(line)["fate"] for line in lines)

    def seconds_after_fault(self, text: str) -> float:
        """Between the fault and the next log line that contains `text`."""
        lines = re.findall(r"^(\d+\.\d\d) (.*)", self.said, re.M)
        fault = next(index for index, (_, line) in enumerate(lines) if "FAULT" in line)
        then = next((at for at, line in lines[fault:] if text in line), None)
        assert then is not None, self.said[-4000:]
        return float(then) - float(lines[fault][0])


def run(folder: Path, fault: str, *overrides: str, processes: int = 1, **variables: str) -> Ended:
    python = [sys.executable]
    if processes > 1:
        python = [*python, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    defaults = ["log.wandb=off"] if "WANDB_BASE_URL" not in variables else []
    began = time.monotonic()
    done = subprocess.run(
        [*python, str(DRIVER), fault, str(RECIPE), *SMALL, *defaults, *overrides,
         f"run.dir={folder}"],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, **variables},
    )  # fmt: skip
    return Ended(done.returncode, done.stdout + done.stderr, time.monotonic() - began, folder)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    ended = run(tmp_path_factory.mktemp("healthy") / "run", "none")
    assert ended.code == 0, ended.said[-4000:]
    return ended


@pytest.mark.parametrize(
    ("fault", "lost"),
    [
        ("killed_in_rollout", True),
        ("hung_in_rollout", True),
        ("killed_in_sync", False),
        ("hung_in_sync", False),
    ],
)
def test_a_lost_engine_is_replaced_and_the_run_ends_as_if_nothing_had_happened(
    fault: str, lost: bool, healthy: Ended, tmp_path: Path, add_fault: AddFault
) -> None:
    ended = run(tmp_path / "run", fault)
    assert ended.code == 0, ended.said[-4000:]
    fates = ended.fates()
    assert fates["trained"] == 3 * COMPLETIONS
    assert (fates["lost_with_engine"] > 0) == lost
    assert history_problems(ended.folder) == []
    for ours, theirs in zip(ended.steps(), healthy.steps(), strict=True):
        assert ours | {"stream/lost_with_engine": 0.0} == theirs
    noticed = ended.seconds_after_fault("engine lost")
    outage = ended.seconds_after_fault("the engine serves again")
    add_fault(
        fault,
        f"replaced, {fates['lost_with_engine']} sampled again, metrics as without the fault",
        f"noticed after {noticed:.1f}, serves again after {outage:.1f}",
    )


def test_an_engine_killed_in_a_sync_of_two_zero3_ranks_is_replaced(
    tmp_path: Path, add_fault: AddFault
) -> None:
    ended = run(tmp_path / "run", "killed_in_sync", "learner.zero_stage=3", processes=2)
    assert ended.code == 0, ended.said[-4000:]
    assert ended.fates()["trained"] == 3 * COMPLETIONS
    assert history_problems(ended.folder) == []
    assert max(row["probe/max_logprob_gap"] for row in ended.steps()) < 1e-3
    outage = ended.seconds_after_fault("the engine serves again")
    add_fault("killed_in_sync, 2 ranks, ZeRO-3", "replaced", f"serves again after {outage:.1f}")


def test_an_engine_that_dies_again_and_again_ends_the_run_with_its_story(
    tmp_path: Path, add_fault: AddFault
) -> None:
    ended = run(tmp_path / "run", "killed_again_and_again", "rollout.max_restarts=1")
    assert ended.code == 1 and "Traceback" not in ended.said
    assert "EngineError: the engine was lost 2 times" in ended.said
    assert "was killed by SIGKILL" in ended.said
    assert history_problems(ended.folder) == []
    seconds = ended.seconds_after_fault("laconic: EngineError")
    add_fault("killed again and again, max_restarts=1", "EngineError, exit 1", f"{seconds:.1f}")


PLUGIN = """
import multiprocessing, os, sys, time
def register():
    if multiprocessing.parent_process() is not None:
        {act}
"""


def plugin(folder: Path, act: str) -> str:
    """A vLLM plugin on the path that returned, which does `act` in the engine's processes."""
    (folder / "sabotage.py").write_text(PLUGIN.format(act=act))
    metadata = folder / "sabotage-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: sabotage\nVersion: 1\n")
    entry = "[vllm.general_plugins]\nsabotage = sabotage:register\n"
    (metadata / "entry_points.txt").write_text(entry)
    return f"{ROOT}:{folder}"


def test_an_engine_without_memory_says_so(tmp_path: Path, add_fault: AddFault) -> None:
    ended = run(tmp_path / "run", "none", "rollout.kv_cache_gib=1e-6")
    add_fault("kv_cache_gib=1e-6", "EngineError, exit 1", f"{ended.seconds:.1f}")
    assert ended.code == 1
    assert re.search(
        r"EngineError: vllm 0.32.0 did not start, after [\d.]+ s: no room for the key-value cache; "
        r"raise rollout.kv_cache_gib; its last lines:",
        ended.said,
    )


@pytest.mark.parametrize(
    ("act", "overrides", "expected"),
    [
        (
            "print('sabotaged', file=sys.stderr, flush=True); os._exit(7)",
            (),
            r"last lines:[\s\S]*sabotaged",
        ),
        ("time.sleep(600)", ("rollout.start_seconds=20",), "not ready within rollout.start_seco"),
    ],
    ids=["exits", "sleeps"],
)
def test_an_engine_that_does_not_come_up_is_named(
    act: str, overrides: tuple[str, ...], expected: str, tmp_path: Path, add_fault: AddFault
) -> None:
    path = plugin(tmp_path, act)
    ended = run(tmp_path / "run", "none", *overrides, PYTHONPATH=path)
    add_fault(f"start: plugin {act[-16:]}", "EngineError, exit 1", f"{ended.seconds:.1f}")
    assert ended.code == 1, ended.said[-4000:]
    assert re.search(expected, ended.said), ended.said[-4000:]


@pytest.mark.parametrize("answers", ["refuses", "never answers"])
def test_a_tracker_out_of_reach_costs_a_minute_and_no_number(
    answers: str, healthy: Ended, tmp_path: Path, add_fault: AddFault
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if answers == "refuses":
            server.close()
        ended = run(
            tmp_path / "run", "none", "log.wandb=online",
            WANDB_BASE_URL=f"http://127.0.0.1:{port}", WANDB_API_KEY="a" * 40,
        )  # fmt: skip
    assert ended.code == 0, ended.said[-4000:]
    assert ended.steps() == healthy.steps()
    assert "W&B: cannot start online" in ended.said
    extra = ended.seconds - healthy.seconds
    add_fault(f"tracker {answers}", "recorded offline, metrics complete", f"{extra:+.1f} in all")
    assert extra < 120
