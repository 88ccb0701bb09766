"""Every number of the schema is refused below its range, by name, before anything starts."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from rl.cli.options import GROUPS
from rl.config import RunConfig

NEGATIVE = {
    "budget.seed": "any seed is one",
    "reward.wrong_at_zero": "what a wrong answer earns",
    "reward.wrong_at_limit": "what a wrong answer earns",
    "reward.exceeded": "what an answer without an end earns",
}
"""Numbers that may be below 0, and why."""
SECTIONS = ("model", "data", "evaluation", "checkpoint", "log", "guards", "verifier")


def sections() -> list[Any]:
    """Section and options, of every option of a group and of the sections without a group."""
    choices = [
        pytest.param(group, option.config(), id=f"{group}={name}")
        for group, options in GROUPS.items()
        for name, option in options.items()
    ]
    return choices + [pytest.param(name, getattr(RunConfig(), name), id=name) for name in SECTIONS]


def numbers(options: Any, prefix: str) -> Iterator[tuple[str, Any, str]]:
    """Name, owner and attribute of each number in `options` and what is nested in it."""
    for each in fields(options):
        value, name = getattr(options, each.name), f"{prefix}.{each.name}"
        if is_dataclass(value):
            yield from numbers(value, name)
        elif type(value) in (int, float):
            yield name, options, each.name


@pytest.mark.parametrize(("section", "options"), sections())
def test_a_number_below_its_range_is_refused_by_name(section: str, options: Any) -> None:
    for name, _, _ in list(numbers(options, section)):
        changed = deepcopy(options)
        owner, attribute = next((o, a) for n, o, a in numbers(changed, section) if n == name)
        setattr(owner, attribute, -1)
        refused = any(f"{attribute}=-1" in problem for problem in changed.problems())
        assert refused != (name in NEGATIVE), name
