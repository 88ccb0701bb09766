"""What a recipe's result depends on, as one hash: its settings and the code that runs with them."""

import ast
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from enum import Enum
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from rl.cli.options import GROUPS, option_name
from rl.config import RunConfig

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("data", "rewards", "rollout", "rl")

ENTRIES = ("rl.cli.train", "rl.cli.host", "rl.cli.judging", "rl.cli.inputs", "rl.cli.record")
"""Where a run begins, once its configuration stands."""

NOT_FOLLOWED = ("rl.cli.", "rl.algorithms.table")
"""What makes the configuration, and tables of all methods: a run executes its own choice alone."""

NOT_HASHED = ("run", "log", "resume", "seed")
"""Where and how a run is written down; rows of all seeds share a hash."""


def code_hash(config: RunConfig) -> str:
    """12 hex digits over the settings of `config` and every module that its run may import.

    Comments, docstrings and settings that are off or empty do not count: documents, and options
    that a recipe does not use, leave its rows valid.
    """
    chosen = {group: option_name(group, getattr(config, group)) for group in GROUPS}
    plain = json.dumps([chosen, settings(config)], sort_keys=True)
    digest = blake2b(plain.encode(), digest_size=6)
    for module in sorted(closure([*ENTRIES, *chosen_modules(config)])):
        if not module.endswith("config"):
            digest.update(f"{module}\n{code(path_of(module))}\n".encode())
    return digest.hexdigest()


def settings(config: RunConfig) -> dict[str, Any]:
    """The settings of `config` that are on, without those that change no result."""
    plain = json.loads(json.dumps(asdict(config), default=_value))
    without_threads = {
        name: {key: value for key, value in section.items() if key != "num_threads"}
        if isinstance(section, dict)
        else section
        for name, section in plain.items()
        if name not in NOT_HASHED
    }
    on: dict[str, Any] = _on(without_threads)
    return on


def chosen_modules(config: RunConfig) -> list[str]:
    """The modules that build the options of `config`."""
    builders = (GROUPS[group][option_name(group, getattr(config, group))].build for group in GROUPS)
    return [
        built.split(":")[0] if isinstance(built, str) else built.__module__ for built in builders
    ]


def closure(modules: Iterable[str]) -> set[str]:
    """`modules` and all of ours that they import, inside functions too."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [
                other for other in imports(path_of(module)) if not other.startswith(NOT_FOLLOWED)
            ]
    return found


@cache
def imports(path: Path) -> frozenset[str]:
    """Modules of ours that the module in `path` imports by name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {
            name for name in names if name.split(".")[0] in PACKAGES and path_of(name).is_file()
        }
    return frozenset(found)


@cache
def code(path: Path) -> str:
    """The source without comments, docstrings and layout."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def path_of(module: str) -> Path:
    """The file of a module or package of ours, whether or not it exists."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _is_text(line: ast.AST) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


def _value(value: object) -> Any:
    return value.value if isinstance(value, Enum) else str(value)


def _on(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {key: _on(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item}
    return value
