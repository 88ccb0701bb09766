"""`laconic merge METHOD BASE OTHER --to FOLDER`: one model made of two, without training.

Flow: every problem of options and folders at once -> tensor by tensor into a new folder -> a check
that transformers loads it.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from math import isfinite
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple

from rl.cli.problems import model_folder

if TYPE_CHECKING:
    from torch import Tensor

    from rl.offline.adapter import Adapter
    from rl.offline.folders import Merge, Weights

Options = Mapping[str, Any]
OPTIONS = ("keep", "scale", "over", "weight")
KEEP, SCALE, WEIGHT = 0.25, 0.7, 0.8
"""DLER's share and scale, AdaR1's weight of the long model."""


class Method(NamedTuple):
    """`build` makes, of both models, what happens to each tensor of the first; `read` reads the
    second, `compare` lists what keeps it from fitting the first (both imported when it is run)."""

    summary: str
    add_options: Callable[[argparse.ArgumentParser], None]
    build: "Callable[[Weights, Any, Options, ExitStack], Merge]"
    read: str = "rl.offline.folders:read_weights"
    compare: str = "rl.offline.folders:differences"


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `merge` with one subcommand for each line of `METHODS`."""
    parser = commands.add_parser("merge", help="make one model of two", description=__doc__)
    names = parser.add_subparsers(required=True, metavar="METHOD")
    for name, method in METHODS.items():
        command = names.add_parser(name, help=method.summary, description=method.summary)
        command.add_argument("base", metavar="BASE", help="a folder, a run's folder, or lab:short")
        command.add_argument("other", metavar="OTHER", help="the other one, or a LoRA's folder")
        command.add_argument("--to", type=Path, required=True, metavar="FOLDER")
        command.set_defaults(run=run, method=name, overrides=[])
        method.add_options(command)


def run(asked: argparse.Namespace) -> int:
    """Merges; 1 with one message when something is in the way."""
    from transformers.utils.logging import disable_progress_bar

    from rl.run.export import check_export

    disable_progress_bar()
    given = vars(asked)
    options: Options = {name: given[name] for name in OPTIONS if name in given}
    try:
        if asked.overrides:
            raise ValueError(f"takes no overrides: {' '.join(asked.overrides)}")
        merge_folders(asked.method, asked.base, asked.other, asked.to, options)
        num_parameters = check_export(asked.to)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"laconic merge: {error}\n")
        return 1
    sys.stdout.write(f"{asked.to}: {asked.method}, {num_parameters:,} parameters\n")
    return 0


def merge_folders(name: str, base: str, other: str, target: Path, options: Options) -> None:
    """Writes the merged model to `target`; raises ValueError with all that is in the way."""
    from rl.offline.folders import read_weights, write_merged

    method = METHODS[name]
    problems = [*_option_problems(options), *_target_problems(target)]
    found: list[Any] = []
    for read, place in ((read_weights, base), (resolve_name(method.read), other)):
        try:
            found.append(read(_folder(place)))
        except ValueError as error:
            problems.append(str(error))
    if len(found) == 2:
        problems += resolve_name(method.compare)(*found)
    if problems:
        raise ValueError("\n- ".join([f"{len(problems)} problem(s):", *problems]))
    note = {"method": name, "base": base, "other": other, **options}
    with ExitStack() as files:
        merge = method.build(found[0], found[1], options, files)
        write_merged(found[0], target, merge, note)


def update_selective(
    base: "Weights", tuned: "Weights", options: Options, files: ExitStack
) -> "Merge":
    """DLER's merge; the largest entries of each tensor, or of the whole model in a first pass."""
    from rl.offline.folders import opened
    from rl.offline.merge import LargestOfModel, largest_of_tensor, selective_update

    largest: Callable[[Tensor], Tensor] = partial(largest_of_tensor, keep=options["keep"])
    old, new = files.enter_context(opened(base)), files.enter_context(opened(tuned))
    if options["over"] == "model":
        names = [name for names in base.names_by_file().values() for name in names]
        largest = LargestOfModel(
            lambda: ((new(name).float() - old(name).float()).abs() for name in names),
            options["keep"],
        )
    return lambda name, tensor: selective_update(tensor, new(name), options["scale"], largest)


def linear(one: "Weights", other: "Weights", options: Options, files: ExitStack) -> "Merge":
    """AdaR1's merge."""
    from rl.offline.folders import opened
    from rl.offline.merge import weighted_mean

    read = files.enter_context(opened(other))
    return lambda name, tensor: weighted_mean(tensor, read(name), options["weight"])


def scale(base: "Weights", tuned: "Weights", options: Options, files: ExitStack) -> "Merge":
    """CoT-Valve's merge of whole weights."""
    from rl.offline.folders import opened
    from rl.offline.merge import scaled_update

    read = files.enter_context(opened(tuned))
    return lambda name, tensor: scaled_update(tensor, read(name), options["scale"])


def lora_scale(base: "Weights", adapter: "Adapter", options: Options, files: ExitStack) -> "Merge":
    """CoT-Valve's merge of a LoRA; weights without an adapter stay as they are."""
    from rl.offline.folders import opened
    from rl.offline.merge import scaled_adapter

    factor = files.enter_context(opened(adapter.weights))
    strength = options["scale"] * adapter.scaling

    def merge(name: str, tensor: "Tensor") -> "Tensor":
        if not adapter.changes(name):
            return tensor
        down, up = map(factor, adapter.factor_names(name))
        return scaled_adapter(tensor, down, up, strength)

    return merge


def _selective_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", type=float, default=KEEP, help=f"share of entries ({KEEP})")
    parser.add_argument("--scale", type=float, default=SCALE, help=f"of what is kept ({SCALE})")
    parser.add_argument(
        "--over", choices=("tensor", "model"), default="tensor", help="what the share is taken of"
    )


def _linear_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weight", type=float, default=WEIGHT, help=f"of BASE ({WEIGHT})")


def _scale_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", type=float, required=True, help="0 is BASE, 1 the tuned model")


METHODS = {
    "update-selective": Method(
        "the largest entries of the update, scaled (DLER)", _selective_options, update_selective
    ),
    "linear": Method("a weighted mean of two models (AdaR1)", _linear_options, linear),
    "scale": Method("the update of a tuned model, scaled (CoT-Valve)", _scale_options, scale),
    "lora-scale": Method(
        "the update of a LoRA in peft's format, scaled (CoT-Valve)",
        _scale_options,
        lora_scale,
        read="rl.offline.adapter:read_adapter",
        compare="rl.offline.adapter:adapter_problems",
    ),
}


def _folder(name: str) -> Path:
    """A run's folder stands for its export."""
    folder = model_folder(name) or Path(name)
    return folder / "export" if (folder / "recipe.yaml").is_file() else folder


def _option_problems(options: Options) -> list[str]:
    found = []
    if not 0 < options.get("keep", 1) <= 1:
        found.append(f"--keep {options['keep']}: give a share above 0 and up to 1")
    for name in ("scale", "weight"):
        if not isfinite(options.get(name, 0)):
            found.append(f"--{name} {options[name]}: give a number")
    return found


def _target_problems(target: Path) -> list[str]:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return []
    return [f"--to {target}: not empty, and nothing is overwritten; give a new folder"]
