"""A whole run, engine and all, that goes on with another number of learner processes."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from rl.run.history_check import history_problems
from tests.rl.run.struck import TINY, launch, orphans, rows

NUM_RANKS = (2, 1, 2)
"""Learner processes of each leg of the run."""
STEPS = 2
"""Of a leg."""

pytestmark = [pytest.mark.engine, pytest.mark.long]


def num_shards(run: Path, step: int) -> int:
    """Ranks whose part of the optimizer lies in the checkpoint of `step`."""
    return len(list((run / "checkpoints" / f"step_{step}").rglob("*optim_states.pt")))


def test_a_run_goes_on_with_one_process_and_with_two_again(tmp_path: Path) -> None:
    run, loaded = tmp_path / "run", tmp_path / "loaded.safetensors"
    # Bit for bit repetition is for one number of processes, and refuses another.
    start = (*TINY, "deterministic=false", "learner.zero_stage=3", f"run.dir={run}")
    exported = None
    for leg, num_ranks in enumerate(NUM_RANKS, start=1):
        last = leg * STEPS
        done = launch(
            run, *(start if leg == 1 else (f"resume={run}",)), f"num_steps={last}",
            num_ranks=num_ranks, loaded=str(loaded),
        )  # fmt: skip
        assert done.code == 0, done.output
        assert orphans(run) == []
        assert num_shards(run, last) == num_ranks
        trained = [row for row in rows(run) if "loss" in row]
        assert [row["step"] for row in trained] == list(range(1, last + 1))
        assert max(row["probe/max_logprob_gap"] for row in trained) < 1e-3
        assert history_problems(run) == []
        if exported:
            found = load_file(loaded)
            assert found.keys() == exported.keys()
            assert [name for name in found if not found[name].equal(exported[name])] == []
        exported = load_file(run / "export" / "model.safetensors")
