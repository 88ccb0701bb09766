"""Relative paths of data and model: one in a file is relative to that file, and made absolute."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from data.config import CUSTOM
from data.rows import SUFFIXES
from rl.cli.recipe import Leaf

PLACES = ("data.path", "data.eval_path", "model.path")
"""Keys that may name a file or a folder of this machine."""


def make_places_absolute(node: DictConfig, leaves: Sequence[Leaf]) -> None:
    """Replaces relative paths in `node`, so that a run can be resumed from any folder.

    `leaves` say where each is set, the last one wins: a path from a recipe is relative to that
    file, one from the command line to the current folder. A name that may be one of the Hub stays,
    unless there is such a folder.
    """
    setters = {leaf.key: leaf for leaf in leaves}
    for key in PLACES:
        value = OmegaConf.select(node, key)
        if key in setters and isinstance(value, str):
            OmegaConf.update(node, key, _absolute(value, setters[key].path))


def _absolute(value: str, setter: Path | None) -> str:
    if value in ("", CUSTOM) or value.startswith(("/", "~")):
        return value
    place = (setter.absolute().parent if setter else Path.cwd()) / value
    return str(place) if _is_meant(value, place) else value


def _is_meant(value: str, place: Path) -> bool:
    """Whether `value` names `place`, and nothing of the Hub or of the lab."""
    if value.startswith(".") or Path(value).suffix in SUFFIXES:
        return True
    try:
        return place.exists()
    except (OSError, ValueError):
        return False
