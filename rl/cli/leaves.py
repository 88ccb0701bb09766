"""Every leaf tried alone against the schema, so that one bad key does not hide the next.

Flow: `choice_problems` (does every chosen option exist?), `leaf_problem` (does the key exist, and
has the value its type?), `suggestions` (which key was meant?).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass, make_dataclass
from difflib import SequenceMatcher, get_close_matches
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rl.cli.gather import Choice
from rl.cli.options import YAML_GROUPS, Groups
from rl.cli.recipe import OURS, Leaf
from rl.config import RunConfig

Schema = Mapping[str, type[Any]]
"""Section or top-level key to its type, with the chosen option's class for each group."""

SIMILAR = 0.6
TIE = 0.05
"""Likeness that a suggested key needs, and how close the second one must come to the first."""
TYPE_NAMES: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "text",
}


def choice_problems(choices: Mapping[str, Choice], groups: Groups, folder: Path) -> dict[str, str]:
    """By group, for each group or option that does not exist: what is wrong, the nearest name."""
    found = {}
    known = [*groups, *YAML_GROUPS]
    for group, choice in choices.items():
        if group not in known:
            found[group] = (
                f"{group}: {choice.name} ({choice.place}): no such group{_near(group, known)}"
            )
            continue
        names = list(groups[group]) if group in groups else yaml_names(group, folder)
        if choice.name not in names:
            near = _near(choice.name, names) or f"; there are {', '.join(names)}"
            found[group] = f"{group}={choice.name} ({choice.place}): no such {group}{near}"
    return found


def yaml_names(group: str, folder: Path) -> list[str]:
    """Choices of a YAML group: those of the recipe's own folder and ours."""
    return sorted(
        {path.stem for place in (folder, OURS) for path in (place / group).glob("*.yaml")}
    )


def schema_of(choices: Mapping[str, Choice], groups: Groups) -> dict[str, type[Any]]:
    """The type of every top-level key under `choices`; an unknown choice leaves the base class."""
    schema: dict[str, type[Any]] = dict(get_type_hints(RunConfig))
    for group, options in groups.items():
        if group in choices and choices[group].name in options:
            schema[group] = options[choices[group].name].config
    return schema


def leaf_problem(leaf: Leaf, schema: Schema) -> str | None:
    """What is wrong with `leaf` on its own, or None."""
    kind: Any = None
    fields: Mapping[str, Any] = schema
    for part in leaf.key.split("."):
        if kind is not None and get_origin(kind) is dict:
            return None
        if not fields:
            return f"{_given(leaf)}: {part!r} is set below a value that is {expected(kind)}"
        if part not in fields:
            hint = _suggest(leaf.key, schema) or _there_are(leaf, fields)
            return f"{_given(leaf)}: no such key{hint}"
        kind = fields[part]
        fields = get_type_hints(kind) if is_dataclass(kind) else {}
    if fields:
        return f"{_given(leaf)}: a section, not a value; it has the keys {', '.join(fields)}"
    return _type_problem(leaf, kind)


def keys_of(schema: Schema) -> Iterator[str]:
    """Every full key that a recipe may set."""
    for name, kind in schema.items():
        if is_dataclass(kind):
            yield from (f"{name}.{below}" for below in keys_of(get_type_hints(kind)))
        else:
            yield name


def suggestions(key: str, schema: Schema) -> list[str]:
    """Up to two keys of the schema that `key` may have meant, nearest first."""
    candidates = {*keys_of(schema), *schema}
    scored = sorted(((_similarity(key, known), known) for known in candidates), reverse=True)
    best = scored[0][0]
    return [known for score, known in scored[:2] if score >= max(SIMILAR, best - TIE)]


def expected(kind: Any) -> str:
    """In words, what a value of type `kind` is."""
    if get_origin(kind) is list:
        return f"a list of {TYPE_NAMES.get(get_args(kind)[0], 'values')}"
    if get_origin(kind) is dict:
        return "a mapping"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"one of {', '.join(kind.__members__)}"
    return TYPE_NAMES.get(kind, "a value")


def _type_problem(leaf: Leaf, kind: Any) -> str | None:
    try:
        OmegaConf.update(OmegaConf.structured(_section_of_one(kind)), "value", leaf.value)
    except OmegaConfBaseException:
        nearest = _near(str(leaf.value), [*getattr(kind, "__members__", [])])
        return f"{_given(leaf)}: must be {expected(kind)}{nearest}"
    return None


@cache
def _section_of_one(kind: Any) -> type[Any]:
    return make_dataclass("Section", [("value", kind)])


def _given(leaf: Leaf) -> str:
    value = "" if leaf.value is None else leaf.value
    return f"{leaf.key}={value} ({leaf.place})"


def _suggest(key: str, schema: Schema) -> str:
    near = suggestions(key, schema)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _there_are(leaf: Leaf, fields: Mapping[str, Any]) -> str:
    return f"; {leaf.key.rpartition('.')[0]} has {', '.join(fields)}" if fields else ""


def _near(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _similarity(key: str, known: str) -> float:
    """Likeness of the full keys or, a little less, of their last parts: 0 to 1."""
    whole = SequenceMatcher(None, key, known).ratio()
    last = SequenceMatcher(None, key.split(".")[-1], known.split(".")[-1]).ratio()
    return max(whole, 0.95 * last)
