"""Faults of a run that is saved step by step, injected for real: what it says, and how soon."""

import shutil
from pathlib import Path

import pytest

from rl.run.checkpoint import find_checkpoint, saved_steps
from tests.fault_table import AddFault
from tests.rl.run.struck import TERMINATE_GROUP, TINY, differences, launch, orphans

pytestmark = [pytest.mark.engine, pytest.mark.long]

STOP_SECONDS = 60.0
"""Longest time from a fault to the end of the run, on a machine that does other things too."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps, one evaluation among them, that nothing struck."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    done = launch(folder, *TINY, f"run.dir={folder}", "num_steps=3")
    assert done.code == 0, done.output
    return folder


def copied(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / "copy"))


def test_a_flipped_byte_is_refused_by_file_and_the_one_before_goes_on(
    finished: Path, tmp_path: Path, add_fault: AddFault
) -> None:
    run = copied(finished, tmp_path)
    latest = find_checkpoint(run)
    assert latest is not None and latest.name == "step_3"
    shard = latest / "learner" / "deepspeed" / "mp_rank_00_model_states.pt"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    refused = launch(run, f"resume={run}")
    assert refused.code == 2
    assert (
        f"{latest} is torn: learner/deepspeed/{shard.name} has other bytes than were saved. The "
        f"newest whole checkpoint beside it is step_2: resume={latest.with_name('step_2')}"
    ) in refused.output
    add_fault("a flipped byte in a checkpoint", "refused by file, exit 2", f"{refused.seconds:.1f}")
    resumed = launch(run, f"resume={latest.with_name('step_2')}")
    assert resumed.code == 0, resumed.output
    assert differences(run, finished, 3) == []


def test_a_missing_file_and_another_run_are_refused_by_name(
    finished: Path, tmp_path: Path, add_fault: AddFault
) -> None:
    run = copied(finished, tmp_path)
    (run / "checkpoints" / "step_3" / "learner" / "learner.json").unlink()
    refused = launch(run, f"resume={run}")
    assert (refused.code, "learner/learner.json is missing" in refused.output) == (2, True)
    add_fault("a file missing in a checkpoint", "refused by file, exit 2", f"{refused.seconds:.1f}")
    text = (run / "recipe.yaml").read_text()
    other = text.replace("path: lab:short\n", "path: lab:short_tied\n", 1)
    (run / "recipe.yaml").write_text(other)
    refused = launch(run, f"resume={run / 'checkpoints' / 'step_2'}")
    assert refused.code == 2
    assert "saved with model.path=lab:short; this run has model.path=lab:short_tied" in (
        refused.output
    )
    add_fault("another run's checkpoint", "refused by setting, exit 2", f"{refused.seconds:.1f}")


def test_a_full_disk_ends_the_run_with_the_previous_checkpoint_in_force(
    tmp_path: Path, add_fault: AddFault
) -> None:
    """In a name space of its own: a disk of 14 MB, copied out before it vanishes."""
    disk, run, kept = tmp_path / "disk", tmp_path / "disk" / "run", tmp_path / "kept"
    disk.mkdir()
    shell = (
        f'mount -t tmpfs -o size=14m none {disk} && "$@"; code=$?; cp -r {run} {kept}; exit $code'
    )
    before = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", shell, "sh"]
    arguments = [*TINY, f"run.dir={run}", "num_steps=3", "log.completions_per_step=0"]
    done = launch(kept, *arguments, before=before)
    assert done.code == 1, done.output
    assert "laconic: CheckpointError: step 2 could not be saved" in done.output
    assert f"The checkpoint in force is step_1: resume={run} goes on from it" in done.output
    add_fault("disk full in a checkpoint", "CheckpointError, exit 1", f"{done.seconds:.1f} in all")
    assert saved_steps(kept / "checkpoints") == [1]
    assert sorted(path.name for path in (kept / "checkpoints").iterdir()) == ["latest", "step_1"]


@pytest.mark.parametrize(("phase", "occurrence"), [("rank_update", 2), ("waiting", 7)])
def test_a_killed_learner_rank_ends_the_run_with_a_named_error(
    phase: str, occurrence: int, tmp_path: Path, add_fault: AddFault
) -> None:
    """In its update of step 2, or while rank 0 rolls out for step 2 (after publish, log-probs,
    update, publish, log-probs and save it waits for its seventh command)."""
    run = tmp_path / "run"
    done = launch(
        run, *TINY, f"run.dir={run}", "num_steps=3", num_ranks=2,
        rank=1, phase=phase, occurrence=occurrence, after_seconds=0, strike="kill -9 {pid}",
    )  # fmt: skip
    assert done.code != 0
    assert "another process of the learner ended" in done.output
    add_fault(f"learner rank killed, {phase}", "RankError, exit 1", f"{done.seconds:.1f}")
    assert done.seconds < STOP_SECONDS
    assert orphans(run) == []
    assert saved_steps(run / "checkpoints") == [1]


SIGNALLED = [
    ("start", 1, "SIGTERM before the first step", []),
    ("evaluation", 1, "SIGTERM ended the run; no step is complete", []),
    ("rollout", 2, "SIGTERM ended the run; step 1 is saved", [1]),
    ("score", 2, "SIGTERM ended the run; step 2 is saved", [1, 2]),
    ("update", 1, "SIGTERM ended the run; step 3 is saved", [2, 3]),
    ("sync", 2, "SIGTERM ended the run; step 4 is saved", [3, 4]),
    ("probe", 2, "SIGTERM ended the run; step 5 is saved", [4, 5]),
    ("evaluation", 1, "SIGTERM ended the run; step 6 is saved", [5, 6]),
    ("checkpoint", 1, "SIGTERM ended the run; step 8 is saved", [6, 8]),
    ("evaluation", 1, "SIGTERM ended the run; step 8 is saved", [6, 8]),
]
"""Phase, its occurrence since the process began, what the run says, the steps it leaves saved."""


@pytest.mark.long
def test_sigterm_in_every_phase_saves_the_last_complete_step(
    tmp_path: Path, add_fault: AddFault
) -> None:
    """One run of eight steps that saves at signals and at its end only, and loses no bit."""
    settings = (*TINY, "num_steps=8", "checkpoint.every_steps=0")
    reference = tmp_path / "reference"
    done = launch(reference, *settings, f"run.dir={reference}")
    assert done.code == 0, done.output
    run = tmp_path / "signalled"
    arguments: tuple[str, ...] = (*settings, f"run.dir={run}")
    for phase, occurrence, says, saved in SIGNALLED:
        stopped = launch(
            run, *arguments,
            phase=phase, occurrence=occurrence, strike=TERMINATE_GROUP,
            after_seconds=0 if phase == "score" else 0.01,  # scoring takes milliseconds
        )  # fmt: skip
        add_fault(f"SIGTERM in {phase}", says.split(" run; ")[-1], f"{stopped.seconds:.1f}")
        assert (stopped.code, says in stopped.output) == (75, True), stopped.output
        assert stopped.seconds < STOP_SECONDS
        assert orphans(run) == []
        assert saved_steps(run / "checkpoints") == saved
        arguments = (f"resume={run}",)
    resumed = launch(run, *arguments)
    assert resumed.code == 0, resumed.output
    assert differences(run, reference, 8) == []


@pytest.mark.long
def test_sigterm_to_torchrun_stops_both_ranks_and_saves(
    tmp_path: Path, add_fault: AddFault
) -> None:
    reference, run = tmp_path / "reference", tmp_path / "signalled"
    lora = ("learner.zero_stage=2", "learner.lora.rank=4", "learner.lora.dropout=0.1")
    settings = (*TINY, *lora, "num_steps=3", "checkpoint.every_steps=0")
    done = launch(reference, *settings, f"run.dir={reference}", num_ranks=2)
    assert done.code == 0, done.output
    stopped = launch(
        run, *settings, f"run.dir={run}", num_ranks=2,
        phase="rollout", occurrence=3, after_seconds=0.01, strike="kill -TERM {parent}",
    )  # fmt: skip
    assert "SIGTERM ended the run; step 2 is saved" in stopped.output
    add_fault("SIGTERM to torchrun, 2 ranks", "step 2 is saved", f"{stopped.seconds:.1f}")
    assert stopped.seconds < STOP_SECONDS
    assert orphans(run) == []
    resumed = launch(run, f"resume={run}", num_ranks=2)
    assert resumed.code == 0, resumed.output
    assert differences(run, reference, 3) == []
