"""What alarms lead to: the last good checkpoint in force again, and the run goes on or ends.

A checkpoint is good when its weights were measured before the window that raised the alarm: the
weights of step N are those that sample step N + 1. Later checkpoints are set aside as
`step_N.suspect`, so that resuming does not find them.
"""

import shutil
from pathlib import Path

from rl.disk import write_synced
from rl.errors import CheckpointError
from rl.run.checkpoint import read_state
from rl.run.config import GuardAction, GuardsConfig
from rl.run.guards import GuardError
from rl.run.identity import identity
from rl.run.journal import Journal
from rl.run.loop import Run


def respond(run: Run, journal: Journal, step: int) -> None:
    """Acts on the alarms of `step`; called before `step` is saved.

    Raises `GuardError` where an alarm's action is `stop`, or `restore` is not possible any more.
    """
    guards, watch = run.config.guards, journal.watch
    acting = [a for a in watch.alarms if a.action in (GuardAction.stop, GuardAction.restore)]
    if not acting:
        return
    messages = " ".join(alarm.message for alarm in acting)
    checkpoint = roll_back(journal.folder / "checkpoints", step - guards.window - 1)
    refusal = why_not_restore([a.action for a in acting], watch.num_restores, guards, checkpoint)
    if refusal or checkpoint is None:
        kept = f"the last good checkpoint is {checkpoint}" if checkpoint else "none is good"
        raise GuardError(f"{messages}. {refusal}; {kept}")
    restored = restore(run, checkpoint, step)
    watch.restored(restored)
    journal.progress.note(
        f"restored the weights of step {restored}; the run goes on with further prompts "
        f"(restore {watch.num_restores} of {guards.max_restores})"
    )


def why_not_restore(
    actions: list[GuardAction], num_restores: int, guards: GuardsConfig, checkpoint: Path | None
) -> str:
    """Why the run ends; empty when it may go on from `checkpoint`."""
    if GuardAction.stop in actions:
        return "The run stops"
    if num_restores >= guards.max_restores:
        return f"The run stops: guards.max_restores={guards.max_restores} is used up"
    if checkpoint is None:
        return "The run stops: nothing to restore; lower checkpoint.every_steps"
    return ""


def restore(run: Run, checkpoint: Path, step: int) -> int:
    """Puts the checkpoint's weights, optimizer, memory and limits in force; returns its step.

    The prompts are not drawn again, and steps count on: what made the loss spike is skipped with
    the weights that it spoiled (PaLM, arXiv:2204.02311, section 5.1).
    """
    try:
        state = read_state(checkpoint, identity(run.config))
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    run.learner.load(checkpoint / "learner")
    run.load(state | {"sampler": run.sampler.state(), "stream": {}})
    run.learner.publish(run.transfer, step)
    run.probe(step)
    return int(state["step"])


def roll_back(root: Path, last_good: int) -> Path | None:
    """Makes the newest checkpoint of at most step `last_good` the `latest`; None without one."""
    steps = {path: int(path.name[5:]) for path in root.glob("step_*") if path.name[5:].isdigit()}
    for path, step in steps.items():
        if step > last_good:
            aside = path.with_name(f"{path.name}.suspect")
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)
    good = [path for path, step in steps.items() if step <= last_good]
    if not good:
        (root / "latest").unlink(missing_ok=True)
        return None
    newest = max(good, key=steps.__getitem__)
    write_synced(root / "latest", newest.name)
    return newest
