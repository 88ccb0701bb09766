"""`laconic export RUN`: a run's model with its card, and `--push USER/NAME` onto the Hub.

Flow: the export of a finished run, or one made from a checkpoint -> card -> check -> copy -> push.
"""

import argparse
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from rl.cli.model_folder import model_folder
from rl.run.record import RunRecord, config_hash, read_run

T = TypeVar("T")


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `export` to the `laconic` command."""
    parser = commands.add_parser(
        "export", help="a run's model in Hugging Face format; publish it", description=__doc__
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="the folder of a run")
    parser.add_argument("--step", type=int, help="the checkpoint after this update, not the end")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="also copy it to a new folder")
    parser.add_argument("--push", metavar="USER/NAME", help="publish it on the Hugging Face Hub")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.set_defaults(run=run, overrides=[])


def run(asked: argparse.Namespace) -> int:
    """Exports, copies, pushes; 1 with one message when something is in the way."""
    try:
        if asked.overrides:
            raise ValueError(f"takes no overrides: {' '.join(asked.overrides)}")
        record = read_run(asked.folder)
        export = make_export(record, asked.step)
        _say(f"model: {export}")
        if asked.to is not None:
            _say(f"copied to {copy_export(export, asked.to)}")
        if asked.push is not None:
            _say(push_export(record, export, asked.push, private=asked.private))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"laconic export: {error}\n")
        return 1
    return 0


def make_export(record: RunRecord, step: int | None) -> Path:
    """The folder of the export with a fresh card; made from a checkpoint where it must be.

    That is for a run without a summary, and where a `step` is asked for: `export_step_N` in the
    run's folder.
    """
    from rl.run.card import write_model_card
    from rl.run.export import check_export

    folder = record.folder / "export"
    if step is None and record.summary is not None and folder.is_dir():
        write_model_card(folder, record.folder)
        return folder
    checkpoint = _checkpoint(record.folder, step)
    step = int(checkpoint.name.removeprefix("step_"))
    folder = record.folder / f"export_step_{step}"
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    _write_weights(record, checkpoint, partial)
    write_model_card(partial, record.folder, step)
    check_export(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder


def copy_export(export: Path, target: Path) -> Path:
    """Copies the export to `target`, which must not exist or be empty."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"--to {target}: not empty, and nothing is overwritten; give a new folder")
    shutil.copytree(export, target, dirs_exist_ok=True)
    return target


def push_export(record: RunRecord, export: Path, name: str, *, private: bool) -> str:
    """Publishes the export; returns the line that says what happened."""
    from rl.run.push import push

    if name.count("/") != 1:
        raise ValueError(f"--push {name}: give USER/NAME")
    pushed = push(export, name, f"Laconic: {_describe(record, export)}", private=private)
    if not pushed.changed:
        return f"{pushed.url} holds the same files (commit {pushed.commit}): nothing was committed"
    return f"pushed to {pushed.url} in one commit, {pushed.commit}"


def _describe(record: RunRecord, export: Path) -> str:
    _, _, step = export.name.partition("_step_")
    return f"update {step or record.num_steps}, config {config_hash(record.config)}"


def _checkpoint(run_folder: Path, step: int | None) -> Path:
    """The checkpoint of `step`, or the newest; raises ValueError with those that there are."""
    from rl.run.checkpoint import find_checkpoint

    root = run_folder / "checkpoints"
    found = sorted(
        (path for path in root.glob("step_*") if path.name.removeprefix("step_").isdecimal()),
        key=lambda path: int(path.name.removeprefix("step_")),
    )
    if not found:
        raise ValueError(
            f"{run_folder} has not finished and saved no checkpoint; there is nothing to export"
        )
    if step is None:
        return find_checkpoint(run_folder) or found[-1]
    chosen = root / f"step_{step}"
    if chosen not in found:
        names = ", ".join(path.name.removeprefix("step_") for path in found)
        raise ValueError(f"--step {step}: no such checkpoint in {root}; there are {names}")
    return chosen


def _write_weights(record: RunRecord, checkpoint: Path, folder: Path) -> None:
    """The checkpoint's model in Hugging Face format, by the run's own sections of the recipe."""
    from transformers.utils.logging import disable_progress_bar

    from data.config import ModelConfig
    from rl.config import LoraConfig
    from rl.learner.consolidate import export_checkpoint

    disable_progress_bar()
    model = _typed(ModelConfig, record.config["model"])
    lora = _typed(LoraConfig, record.config["learner"]["lora"])
    path = str(model_folder(model.path) or model.path)
    export_checkpoint(checkpoint / "learner", folder, model, lora, path)


def _typed(schema: type[T], values: Mapping[str, Any]) -> T:
    """A section of the saved recipe as its dataclass."""
    from omegaconf import OmegaConf

    section = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), values))
    assert isinstance(section, schema)
    return section


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
