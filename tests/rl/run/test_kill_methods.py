"""Methods that remember, killed in the middle and resumed, end as if they had not been: every bit.

What each has to remember by then is checked first, and that the steps after it depend on it.
"""

import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from data.memory import PromptMemory
from rewards.length.hapo import COUNT
from rl.limits.palu import LIMIT
from rl.limits.siri import siri_cosine
from tests.rl.run.struck import (
    KILL_GROUP,
    TINY,
    completions,
    differences,
    launch,
    orphans,
    saved_state,
)

NUM_STEPS, SAVED = 5, 3
"""Two updates are an epoch of 8 prompts: the kill falls into the second half of the second, and
half of the prompts come a second time before it, all of them after it."""
SMALL = (
    *TINY, f"num_steps={NUM_STEPS}", "data.num_prompts=8", "algorithm.group_size=8",
    "limit.max_response_tokens=160", "data.eval_path=''", "evaluation.every_steps=0",
    "checkpoint.keep_last=9", "rollout.num_threads=1", "learner.num_threads=1",
)  # fmt: skip

Rows = list[dict[str, Any]]

pytestmark = [pytest.mark.engine, pytest.mark.long]


def hapo_is_in_the_middle(state: dict[str, Any], following: Rows) -> None:
    """Some prompts of the next step have a history, and are paid by it."""
    known = {prompt for prompt, record in state["memory"]["records"] if record[COUNT] > 0}
    paid = {row["prompt_id"] for row in following if row["parts/length"] != 0}
    assert known and paid and paid <= known


def palu_is_in_the_middle(state: dict[str, Any], following: Rows) -> None:
    """Limits differ between prompts, and the next step is sampled under them."""
    memory = PromptMemory()
    memory.load(state["limit"])
    limits = {row["prompt_id"]: memory.get(row["prompt_id"]).get(LIMIT, 160) for row in following}
    assert len(set(limits.values())) > 1
    assert all(row["limit"] == limits[row["prompt_id"]] for row in following)


def siri_is_in_the_middle(state: dict[str, Any], following: Rows) -> None:
    """The next step's limit is that of its place in the cycle, which no other step so far had."""
    earlier = {siri_cosine(step, 7, 160, 80) for step in range(SAVED)}
    [limit] = {row["limit"] for row in following}
    assert limit == siri_cosine(SAVED, 7, 160, 80)
    assert limit not in earlier


def lcpo_is_in_the_middle(state: dict[str, Any], following: Rows) -> None:
    """The prompts of the next step ask for budgets of their own, and are paid by them."""
    assert len({row["budget"] for row in following}) > 1
    assert all(40 <= row["budget"] <= 120 for row in following)
    assert len({row["parts/length"] for row in following}) > 1
    assert state["sampler"]["position"] not in (0, 8), "an epoch has begun and is not over"


def tppo_is_in_the_middle(state: dict[str, Any], following: Rows) -> None:
    """Answers that end in the next step have windows of earlier ones."""
    versions = {(row["weight_version_first"], row["weight_version_last"]) for row in following}
    assert any(first < SAVED == last for first, last in versions), versions


def treepo_is_in_the_middle(state: dict[str, Any], following: Rows) -> None:
    """Answers of the next step have their first segment, of 32 tokens, in common, and then part."""
    texts = {(row["prompt_id"], row["completion"]) for row in following if row["tokens"] > 32}
    firsts = Counter((prompt, text[:32]) for prompt, text in texts)
    assert max(firsts.values()) > 1


@dataclass(frozen=True, kw_only=True)
class Method:
    """A lab recipe, the phase of update 4 in which it is killed, and what must hold by then."""

    phase: str
    in_the_middle: Callable[[dict[str, Any], Rows], None]
    overrides: tuple[str, ...] = ()
    remembers: str = ""
    """The part of the run's state without which the resumed run has to differ."""


METHODS = {
    # The reward has folded update 4 into its memory, no checkpoint has.
    "hapo": Method(phase="update", in_the_middle=hapo_is_in_the_middle, remembers="memory"),
    "palu": Method(phase="sync", in_the_middle=palu_is_in_the_middle, remembers="limit"),
    "siri": Method(
        phase="rollout", in_the_middle=siri_is_in_the_middle, overrides=("limit.cycle_steps=7",)
    ),
    # The critic is in the checkpoint as well; it trains alone for two of the five steps, in which
    # no weights are sent.
    "tppo": Method(
        phase="score",
        in_the_middle=tppo_is_in_the_middle,
        overrides=(
            "rollout.window_tokens=40",
            "rollout.max_staleness=3",
            "algorithm.critic.warmup_steps=2",
        ),
        remembers="stream",
    ),
    # The trees of update 4 have grown; nothing of a tree outlasts its step.
    "treepo": Method(
        phase="score",
        in_the_middle=treepo_is_in_the_middle,
        overrides=("rollout.tree.depth=4", "rollout.tree.segment_tokens=32"),
        remembers="sampler",
    ),
    "lcpo_exact": Method(phase="score", in_the_middle=lcpo_is_in_the_middle, remembers="sampler"),
}


@pytest.mark.parametrize("recipe", METHODS)
def test_a_method_killed_in_the_middle_ends_as_if_it_had_not_been(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method, began = METHODS[recipe], perf_counter()
    arguments = (*SMALL, *method.overrides)
    reference = tmp_path / "reference"
    done = launch(reference, *arguments, f"run.dir={reference}", recipe=recipe)
    assert done.code == 0, done.output
    run = tmp_path / "killed"
    killed = launch(
        run, *arguments, f"run.dir={run}", recipe=recipe,
        phase=method.phase, occurrence=SAVED + 1 + (method.phase == "sync"), after_seconds=0,
        strike=KILL_GROUP,
    )  # fmt: skip
    assert killed.code in (-9, 137), killed.output
    assert orphans(run) == []
    assert (run / "checkpoints" / "latest").read_text().strip() == f"step_{SAVED}"
    state = saved_state(run, SAVED)
    assert state == saved_state(reference, SAVED)
    method.in_the_middle(state, completions(reference, SAVED + 1))
    forgetful = tmp_path / "forgetful"
    shutil.copytree(run, forgetful)
    resumed = launch(run, f"resume={run}", recipe=recipe)
    assert resumed.code == 0, resumed.output
    assert differences(run, reference, NUM_STEPS) == []
    if method.remembers:
        launch(forgetful, f"resume={forgetful}", recipe=recipe, forget=[method.remembers])
        assert f"step {SAVED + 1}: completions" in differences(forgetful, reference, NUM_STEPS)
    with capsys.disabled():
        sys.stdout.write(f"\n{recipe}: {perf_counter() - began:.0f} s")
