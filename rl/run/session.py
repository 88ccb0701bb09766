"""The life of a run around its loop: begin or resume, evaluate, train, evaluate, export, sum up."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import time
from typing import Any

from data.wire import decode, encode
from rl.config import RunConfig
from rl.disk import write_synced
from rl.errors import CheckpointError, Interrupted
from rl.evaluate.evaluation import Evaluation
from rl.run.card import write_model_card
from rl.run.checkpoint import find_checkpoint, put_in_force, read_state
from rl.run.export import check_export
from rl.run.folder import create_run_folder, process_start, write_recipe, write_summary
from rl.run.identity import identity, run_of
from rl.run.judge import Judge
from rl.run.keeper import Keeper
from rl.run.loop import Run, Step, train
from rl.run.restore import respond
from rl.run.rows import move_aside, move_rows_aside

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a run begins: its folder, and the checkpoint it goes on from, if any."""

    folder: Path
    recipe: str
    checkpoint: Path | None
    state: dict[str, Any]
    began: float = field(default_factory=process_start)
    """Unix time from which `wall_s` counts."""

    @property
    def step(self) -> int:
        """Updates that are already done."""
        return int(self.state["step"]) if self.checkpoint else 0


def open_run(config: RunConfig, recipe: str, resolved: str) -> Start:
    """A new folder, or that of the run to resume with all that came after its checkpoint aside.

    `recipe` is the recipe's name, `resolved` the text that is saved as recipe.yaml. A run without a
    checkpoint begins again. Raises ValueError when the folder is in use or the checkpoint is torn
    or foreign.
    """
    if not config.resume:
        folder = create_run_folder(config.run.dir, recipe)
        write_recipe(folder, resolved)
        return Start(folder=folder, recipe=recipe, checkpoint=None, state={})
    place = Path(config.resume).absolute()
    folder = run_of(place)
    checkpoint = find_checkpoint(folder) if place == folder else place
    state = read_state(checkpoint, identity(config)) if checkpoint else {}
    start = Start(folder=folder, recipe=recipe, checkpoint=checkpoint, state=state)
    if start.step > config.num_steps:
        raise ValueError(
            f"num_steps={config.num_steps} with resume={place}: step {start.step} is done already; "
            f"set num_steps>={start.step}"
        )
    if checkpoint is None:
        logger.warning("%s has no checkpoint: the run begins again at step 0", folder)
    move_rows_aside(folder, state.get("rows", {}), start.step)
    move_aside(folder / "summary.json", start.step)
    put_in_force(folder, checkpoint, start.step)
    return start


def run_to_end(
    run: Run, start: Start, judge: Judge, lab_version: str, data: Mapping[str, Any]
) -> None:
    """Base evaluation, training, final evaluation, export, summary.

    `data` are the counts of rows that the summary repeats (`data.report`).
    Raises `Interrupted` when a signal ended it, with its last complete step saved.
    """
    run.interrupts.protect()
    keeper = Keeper(run=run, journal=judge.journal, step=start.step, saved_step=start.step)
    try:
        base = begin(run, start, judge, keeper)
        train(run, start.step, partial(after_step, judge, keeper))
        num_steps = run.config.num_steps
        final = judge(f"step {num_steps}", num_steps) if num_steps else base
    except Interrupted as error:
        saved = keeper.save_interrupted()
        raise Interrupted(
            f"{error} ended the run; {saved}. resume={start.folder} goes on from there"
        ) from None
    keeper.drop_old()
    finish(run, start, judge, lab_version, data, base, final)


def begin(run: Run, start: Start, judge: Judge, keeper: Keeper) -> Evaluation | None:
    """Restores what the checkpoint holds and publishes it; returns the evaluation before training.

    The random number generators are restored last, at the point where they were saved: nothing
    that a resumed run does more than an uninterrupted one may draw from them.
    """
    if start.checkpoint:
        try:
            run.learner.load(start.checkpoint / "learner")
            run.load(start.state)
        except ValueError as error:
            raise CheckpointError(f"{start.checkpoint} does not fit: {error}") from error
    run.learner.publish(run.transfer, start.step)
    run.probe(start.step)
    base = judge.journal.base = base_evaluation(start, judge)
    if start.checkpoint:
        run.learner.load_generators(start.checkpoint / "learner")
        keeper.completed(start.step)
        keeper.evaluated = start.state["evaluated"]
        evaluate_if_due(judge, keeper)
    return base


def finish(
    run: Run,
    start: Start,
    judge: Judge,
    lab_version: str,
    data: Mapping[str, Any],
    base: Evaluation | None,
    final: Evaluation | None,
) -> None:
    """Export, summary, the table at the end."""
    export = start.folder / "export"
    run.learner.export(export)
    summary = write_summary(
        start.folder,
        recipe=start.recipe,
        engine=judge.engine.name,
        lab_version=lab_version,
        seed=run.config.seed,
        steps=run.config.num_steps,
        wall_s=time() - start.began,
        data=data,
        base=base,
        final=final,
    )
    write_model_card(export, start.folder)
    check_export(export)
    judge.journal.tracker.summarize(summary)
    if base and final:
        judge.journal.progress.table(base, final)
    judge.journal.progress.note(f"model: {export}; figures: {start.folder / 'summary.json'}")


def base_evaluation(start: Start, judge: Judge) -> Evaluation | None:
    """The evaluation before training: known, or made here, or read again in a resumed run."""
    kept = start.folder / "eval" / "base.msgpack"
    if start.checkpoint and kept.is_file():
        return decode(kept.read_bytes(), Evaluation)
    if evaluation := judge.known_base:
        judge.record("base", 0, evaluation, 0.0)
    else:
        evaluation = judge("base", 0)
    if evaluation:
        write_synced(kept, encode(evaluation))
    return evaluation


def after_step(judge: Judge, keeper: Keeper, run: Run, step: Step) -> None:
    """Logs a finished step, acts on its alarms; saves, then evaluates, when it is time.

    The evaluation of a saved step that a crash cut short is made when the run is resumed.
    """
    config = run.config
    judge.journal.step(step, run.stream.fates)
    respond(run, judge.journal, step.index)
    keeper.completed(step.index)
    if is_due(step.index, config.checkpoint.every_steps) or step.index == config.num_steps:
        keeper.save()
    evaluate_if_due(judge, keeper)


def evaluate_if_due(judge: Judge, keeper: Keeper) -> None:
    """The evaluation after the last complete step, unless it is made; the final one comes later."""
    config, step = judge.config, keeper.step
    due = is_due(step, config.evaluation.every_steps) and step < config.num_steps
    if due and not keeper.evaluated:
        judge(f"step {step}", step)
        keeper.evaluated = True
        if keeper.saved_step:
            keeper.drop_old()


def is_due(step: int, every_steps: int) -> bool:
    """Whether something done every so many steps (0 is never) is to be done after `step`."""
    return every_steps > 0 and step % every_steps == 0
