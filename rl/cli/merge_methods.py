"""The ways to make one model of two: what each reads, what it does to a tensor, its options.

Used by `laconic merge METHOD`, which writes a model, and `laconic merge sweep METHOD`, which
evaluates many.
"""

import argparse
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from math import isfinite
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple

from rl.cli.model_folder import model_folder

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
    second, `compare` lists what keeps it from fitting the first (both imported when it is run).

    `swept` is the option that a sweep varies, `meaning` what its value says, `default` its value
    for a single merge (None: it must be given); `add_options` adds the others.
    """

    summary: str
    build: "Callable[[Weights, Any, Options, ExitStack], Merge]"
    meaning: str = "0 is BASE, 1 the tuned model"
    swept: str = "scale"
    default: float | None = None
    add_options: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    read: str = "rl.offline.folders:read_weights"
    compare: str = "rl.offline.folders:differences"


def read_both(name: str, base: str, other: str) -> tuple["Weights", Any, list[str]]:
    """Both models of method `name`, and what keeps them from being merged.

    Raises ValueError with everything that is wrong where one of them cannot be read.
    """
    from rl.offline.folders import read_weights

    method = METHODS[name]
    found: list[Any] = []
    problems: list[str] = []
    for read, place in ((read_weights, base), (resolve_name(method.read), other)):
        try:
            found.append(read(folder_of(place)))
        except ValueError as error:
            problems.append(str(error))
    if len(found) < 2:
        raise Problems(problems)
    return found[0], found[1], resolve_name(method.compare)(*found)


class Problems(ValueError):
    """Several things are in the way; the message lists them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n- ".join([f"{len(problems)} problem(s):", *problems]))
        self.problems = problems


def folder_of(name: str) -> Path:
    """A run's folder stands for its export, which holds the run's recipe beside the model."""
    folder = model_folder(name) or Path(name)
    is_run = (folder / "recipe.yaml").is_file() and not (folder / "config.json").is_file()
    return folder / "export" if is_run else folder


def given_options(asked: argparse.Namespace) -> Options:
    """The options of a method that the command line has."""
    given = vars(asked)
    return {name: given[name] for name in OPTIONS if name in given}


def option_problems(options: Options) -> list[str]:
    found = []
    if not 0 < options.get("keep", 1) <= 1:
        found.append(f"--keep {options['keep']}: give a share above 0 and up to 1")
    for name in ("scale", "weight"):
        if not isfinite(options.get(name, 0)):
            found.append(f"--{name} {options[name]}: give a number")
    return found


def target_problems(target: Path) -> list[str]:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return []
    return [f"--to {target}: not empty, and nothing is overwritten; give a new folder"]


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
    parser.add_argument(
        "--over", choices=("tensor", "model"), default="tensor", help="what the share is taken of"
    )


METHODS = {
    "update-selective": Method(
        "the largest entries of the update, scaled (DLER)",
        update_selective,
        meaning="of what is kept",
        default=SCALE,
        add_options=_selective_options,
    ),
    "linear": Method(
        "a weighted mean of two models (AdaR1)",
        linear,
        meaning="of BASE",
        swept="weight",
        default=WEIGHT,
    ),
    "scale": Method("the update of a tuned model, scaled (CoT-Valve)", scale),
    "lora-scale": Method(
        "the update of a LoRA in peft's format, scaled (CoT-Valve)",
        lora_scale,
        read="rl.offline.adapter:read_adapter",
        compare="rl.offline.adapter:adapter_problems",
    ),
}
