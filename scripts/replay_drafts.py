"""Prints what drafters would have got right of a finished run's answers, without a model.

    python scripts/replay_drafts.py runs/RUN
    python scripts/replay_drafts.py runs/RUN --drafters history suffix --running 1 32 --drafts 16

The answers are those of `completions/` in their order (`log.completions_per_step` says how many a
run keeps), tokenised again. They are replayed in lockstep as an engine would sample them, a weight
version older at each step. A policy that is sampled again leaves the record, so the figures flatter
all drafters alike. Seconds are those of drafting alone, on one thread.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from time import thread_time
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from rl.cli.model_folder import model_folder
from rl.run.record import read_run
from rollout.drafting.acceptance import Acceptance
from rollout.drafting.config import HistoryConfig
from rollout.drafting.drafter import HistoryDrafter
from rollout.drafting.references import OwnNgramDrafter, SuffixTreeDrafter
from rollout.drafting.replay import Drafter, Recorded, replay

MOST_RUNNING = 256
DRAFTERS: dict[str, Callable[[int, int], Drafter]] = {
    "history": lambda drafts, tokens: HistoryDrafter(
        HistoryConfig(), max_prompts=MOST_RUNNING, max_tokens=tokens, max_drafts=drafts
    ),
    "suffix": lambda drafts, tokens: SuffixTreeDrafter(max_drafts=drafts),
    "ngram": lambda drafts, tokens: OwnNgramDrafter(max_drafts=drafts),
}
"""By name: a drafter of that many tokens at once, for sequences of at most so many tokens."""

Steps = list[list[Recorded]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--drafters", nargs="+", choices=DRAFTERS, default=list(DRAFTERS))
    parser.add_argument("--running", nargs="+", type=int, default=[1, 8, 32, 256])
    parser.add_argument("--drafts", type=int, default=8, help="tokens of the longest draft")
    arguments = parser.parse_args()
    if not all(1 <= running <= MOST_RUNNING for running in arguments.running):
        parser.error(f"--running {arguments.running}: give 1 to {MOST_RUNNING}")
    try:
        steps = recorded_steps(arguments.run)
    except ValueError as error:
        parser.error(str(error))
    print(f"{sum(map(len, steps))} answers of {len(steps)} steps")
    print("drafter  running  tokens a step  drafted  accepted  us a draft")
    for name in arguments.drafters:
        for running in arguments.running:
            print(line(name, running, *replayed(DRAFTERS[name], steps, running, arguments.drafts)))


def recorded_steps(folder: Path) -> Steps:
    """The kept answers of each step; raises ValueError for a folder that has none."""
    from transformers import AutoTokenizer

    config = read_run(folder).config
    files = sorted((folder / "completions").glob("step_*.parquet"))
    if not files:
        raise ValueError(
            f"{folder} keeps no answers; give a run with log.completions_per_step above 0"
        )
    path = config["model"]["path"]
    tokenizer = AutoTokenizer.from_pretrained(model_folder(path) or path)
    return [list(recorded(file, tokenizer)) for file in files]


def recorded(file: Path, tokenizer: Any) -> Iterator[Recorded]:
    """The answers in `file`; one that ended by itself has its end token."""
    for row in pq.read_table(file, columns=["prompt", "completion", "finish"]).to_pylist():
        prompt, answer = (
            tokenizer(row[column], add_special_tokens=False)["input_ids"]
            for column in ("prompt", "completion")
        )
        end = [tokenizer.eos_token_id] if row["finish"] == "stop" else []
        yield Recorded(
            prompt_ids=np.array(prompt, np.int32), token_ids=np.array([*answer, *end], np.int32)
        )


def replayed(
    make: Callable[[int, int], Drafter], steps: Steps, running: int, drafts: int
) -> tuple[Acceptance, float]:
    """What became of the drafts of all steps, and the seconds that drafting took."""
    longest = max(len(r.prompt_ids) + len(r.token_ids) for step in steps for r in step)
    drafter, total = make(drafts, longest), Acceptance()
    began = thread_time()
    for version, step in enumerate(steps):
        if isinstance(drafter, HistoryDrafter):
            drafter.new_weights(version)
        total.add(replay(drafter, step, num_running=running, name=str(version)))
    return total, thread_time() - began


def line(name: str, running: int, found: Acceptance, seconds: float) -> str:
    return (
        f"{name:<8} {running:>7} {found.accepted_length:>14.2f} {found.draft_length:>8.2f} "
        f"{found.draft_acceptance:>9.2f} {1e6 * seconds / max(1, found.verifications):>11.0f}"
    )


if __name__ == "__main__":
    main()
