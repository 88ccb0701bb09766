"""Inside a real `GRPOTrainer`, on one process and on two, the rewards are those of our loop."""

import asyncio
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.types import Completion, Finish, Group, Prompt, Span, Verdict, prompt_id
from rewards.compose import gated
from rewards.gates.grpo_lambda import TopFractionConfig, build_top_fraction
from rewards.length.sigmoid import SigmoidConfig, build_reward
from rewards.pool import make_pool
from rewards.verifiers.math import MathConfig, MathVerifier

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
END, GENERATIONS, BATCH = 1, 4, 32


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(1, id="one-process", marks=pytest.mark.long),
        pytest.param(2, id="two-processes"),
    ],
)
def ranks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """What each rank of a short run wrote."""
    folder, num_processes = tmp_path_factory.mktemp("trl"), request.param
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        "--nproc-per-node", str(num_processes), str(ROOT / "tests" / "rewards" / "trl_driver.py"),
        str(folder), str(BATCH // num_processes),
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads((folder / f"rank_{r}.json").read_text()) for r in range(num_processes)]


def whole(ranks: list[dict[str, Any]], name: str, step: int) -> dict[str, list[Any]]:
    """One call of the reward `name`, the slices of all ranks together."""
    slices = [rank["calls"][name][step] for rank in ranks]
    return {key: [value for part in slices for value in part[key]] for key in slices[0]}


def groups_of(call: dict[str, list[Any]]) -> list[Group]:
    """The same completions as our engine would hand them over."""
    groups = []
    for start in range(0, len(call["prompts"]), GENERATIONS):
        messages = tuple(call["prompts"][start])
        prompt = Prompt(
            id=prompt_id(call["source"][start], messages),
            messages=messages,
            token_ids=np.zeros(0),
            answer=call["answer"][start],
        )
        completions = []
        for i in range(start, start + GENERATIONS):
            ids = call["completion_ids"][i]
            assert call["prompts"][i] == call["prompts"][start]
            completions.append(
                Completion(
                    id=f"{i:04}",
                    text=call["completions"][i][0]["content"],
                    token_ids=np.array(ids),
                    logprobs=np.zeros(len(ids)),
                    limit=60,
                    finish=Finish.STOP if ids[-1] == END else Finish.LIMIT,
                    spans=(Span(start=0, stop=len(ids), weight_version=0),),
                )
            )
        groups.append(Group(prompt=prompt, completions=tuple(completions)))
    return groups


def verdicts_of(groups: list[Group]) -> list[list[Verdict]]:
    async def judge() -> list[list[Verdict]]:
        pool = make_pool(MathConfig())
        verifier = MathVerifier(pool)
        judged = [[await verifier(g.prompt, c) for c in g.completions] for g in groups]
        await pool.close()
        return judged

    return asyncio.run(judge())


def test_rewards_inside_trl_equal_ours(ranks: list[dict[str, Any]]) -> None:
    sigmoid = build_reward(SigmoidConfig())
    gate = build_top_fraction(TopFractionConfig(fraction=0.5), seed=0)
    lengths, correct = set(), set()
    for step in range(2):
        for name, reward in (("grouped", sigmoid), ("ranked", gated(sigmoid, gate))):
            call = whole(ranks, name, step)
            groups = groups_of(call)
            assert len(groups) == BATCH // GENERATIONS
            verdicts = verdicts_of(groups)
            ours = [s.total for row in reward(groups, verdicts) for s in row]
            assert call["values"] == ours
            logged = ranks[0]["logs"][step][name]
            assert logged[-BATCH:] == pytest.approx(ours, abs=1e-6)
            lengths |= {c.num_tokens for g in groups for c in g.completions}
            correct |= {(v.correct, v.reason) for row in verdicts for v in row}
    assert len(lengths) > 5
    assert {(True, ""), (False, ""), (False, "ended by limit")} <= correct


def test_the_run_trains_and_logs_the_parts(ranks: list[dict[str, Any]]) -> None:
    steps = [row for row in ranks[0]["metrics"] if "reward" in row]
    assert len(steps) == 2
    for row in steps:
        assert math.isfinite(row["loss"])
        assert row["grad_norm"] > 0
        assert -0.2 <= row["rewards/length/mean"] < 0 < row["rewards/correct/mean"] <= 1
        assert row["reward/failed"] == 0
