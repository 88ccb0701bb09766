"""The life of a run around its loop: begin or resume, evaluate, train, evaluate, export, sum up."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data.wire import decode, encode
from rl.config import RunConfig
from rl.evaluate.evaluation import Evaluation
from rl.run.checkpoint import find_checkpoint, move_aside_after, read_state, save_checkpoint
from rl.run.export import check_export, write_model_card
from rl.run.folder import create_run_folder, write_recipe, write_summary
from rl.run.judge import Judge
from rl.run.loop import Run, Step, train


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a run begins: its folder, and the checkpoint it goes on from, if any."""

    folder: Path
    recipe: str
    checkpoint: Path | None
    state: dict[str, Any]

    @property
    def step(self) -> int:
        """Updates that are already done."""
        return int(self.state["step"]) if self.checkpoint else 0


def open_run(config: RunConfig, recipe: str, resolved: str) -> Start:
    """A new folder, or that of the run to resume with its rows after the checkpoint moved aside.

    `recipe` is the recipe's name, `resolved` the text that is saved as recipe.yaml. Raises
    ValueError when the folder is in use, or there is nothing to resume.
    """
    if not config.resume:
        folder = create_run_folder(config.run.dir, recipe)
        write_recipe(folder, resolved)
        return Start(folder=folder, recipe=recipe, checkpoint=None, state={})
    folder = Path(config.resume).absolute()
    checkpoint = find_checkpoint(folder)
    state = read_state(checkpoint)
    for name in ("metrics.jsonl", "history.jsonl"):
        move_aside_after(folder / name, state["step"])
    return Start(folder=folder, recipe=recipe, checkpoint=checkpoint, state=state)


def run_to_end(
    run: Run, start: Start, judge: Judge, lab_version: str, data: Mapping[str, Any]
) -> None:
    """Base evaluation, training, final evaluation, export, summary.

    `data` are the counts of rows that the summary repeats (`data.report`).
    """
    if start.checkpoint:
        run.learner.load(start.checkpoint / "learner")
        run.load(start.state)
    run.learner.publish(run.transfer, start.step)
    run.probe(start.step)
    base = judge.journal.base = base_evaluation(start, judge)
    train(run, start.step, partial(after_step, judge))
    num_steps = run.config.num_steps
    final = judge(f"step {num_steps}", num_steps) if num_steps > start.step else base
    export = start.folder / "export"
    run.learner.export(export)
    summary = write_summary(
        start.folder,
        recipe=start.recipe,
        engine=judge.engine.name,
        lab_version=lab_version,
        seed=run.config.seed,
        steps=num_steps,
        data=data,
        base=base,
        final=final,
    )
    write_model_card(export, run.config.model.path, summary)
    check_export(export)
    judge.journal.tracker.summarize(summary)
    if base and final:
        judge.journal.progress.table(base, final)
    judge.journal.progress.note(f"model: {export}; figures: {start.folder / 'summary.json'}")


def base_evaluation(start: Start, judge: Judge) -> Evaluation | None:
    """The evaluation before training: made at the start, read again when a run is resumed."""
    kept = start.folder / "eval" / "base.msgpack"
    if start.checkpoint and kept.is_file():
        return decode(kept.read_bytes(), Evaluation)
    evaluation = judge("base", 0)
    if evaluation:
        kept.write_bytes(encode(evaluation))
    return evaluation


def after_step(judge: Judge, run: Run, step: Step) -> None:
    """Logs a finished step; evaluates and saves when it is time."""
    config, journal = run.config, judge.journal
    journal.step(step, run.stream.fates)
    last = step.index == config.num_steps
    if is_due(step.index, config.evaluation.every_steps) and not last:
        judge(f"step {step.index}", step.index)
    if is_due(step.index, config.checkpoint.every_steps) or last:
        state = run.state() | {"num_tokens": journal.num_tokens}
        keep_last = config.checkpoint.keep_last
        save_checkpoint(journal.folder, step.index, state, run.learner, keep_last)


def is_due(step: int, every_steps: int) -> bool:
    """Whether something done every so many steps (0 is never) is to be done after `step`."""
    return every_steps > 0 and step % every_steps == 0
