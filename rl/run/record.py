"""A run's folder read again: its recipe, its summary, and the recipe as it may be published."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PLACE = re.compile(r"(path|dir|folder|file)$")
"""Last parts of keys whose value may be a place on this machine."""

NOT_HASHED = ("run", "log", "resume")
"""Sections that say where and how a run is written down, not what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """`config` is the resolved recipe, `comments` its first lines, `summary` None until the end."""

    folder: Path
    comments: tuple[str, ...]
    config: Mapping[str, Any]
    summary: Mapping[str, Any] | None

    @property
    def title(self) -> str:
        """The recipe's first line: method, paper, model, data."""
        return self.comments[0].lstrip("# ") if self.comments else ""

    @property
    def num_steps(self) -> int:
        """Updates of the whole run; a resumed run may have been given more than its recipe says."""
        return int((self.summary or {"steps": self.config["num_steps"]})["steps"])

    @property
    def num_ranks(self) -> int:
        """Learner processes, as the newest checkpoint says; 0 when none does."""
        indices = sorted(
            self.folder.glob("checkpoints/step_*/learner/learner.json"),
            key=lambda path: path.stat().st_mtime_ns,
        )
        return int(json.loads(indices[-1].read_text())["layout"]["ranks"]) if indices else 0


def read_run(folder: Path) -> RunRecord:
    """The run in `folder`; raises ValueError when there is none."""
    recipe = folder / "recipe.yaml"
    if not recipe.is_file():
        raise ValueError(f"{folder} is no run: it has no recipe.yaml; give the folder of a run")
    text = recipe.read_text(encoding="utf-8")
    summary = folder / "summary.json"
    return RunRecord(
        folder=folder,
        comments=tuple(line for line in text.splitlines() if line.startswith("#")),
        config=yaml.safe_load(text),
        summary=json.loads(summary.read_text()) if summary.is_file() else None,
    )


def published_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved recipe without places of this machine; absolute paths keep their last name."""
    run = {**config["run"], "dir": ""}
    return _without_places({**config, "run": run, "resume": ""})


def published_recipe(run: RunRecord) -> str:
    """The text of a recipe that needs no other file and repeats the run."""
    values = yaml.safe_dump(published_config(run.config), sort_keys=False, allow_unicode=True)
    return "\n".join([*run.comments, values])


def config_hash(config: Mapping[str, Any]) -> str:
    """First 16 hex digits of the SHA-256 of the published recipe without `run`, `log`, `resume`.

    Keys are sorted, so that neither their order nor the machine matters.
    """
    kept = {key: value for key, value in published_config(config).items() if key not in NOT_HASHED}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def _without_places(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _without_place(key, value) for key, value in section.items()}


def _without_place(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return _without_places(value)
    is_place = isinstance(value, str) and PLACE.search(key) and value.startswith(("/", "~"))
    return Path(value).name if is_place else value
