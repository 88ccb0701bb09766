"""What a learner checkpoint says about itself, beside DeepSpeed's files."""

import json
from pathlib import Path
from typing import NamedTuple

Layout = dict[str, int | str]
"""Settings that a checkpoint's files depend on, by config key."""

INDEX = "learner.json"
CHECKPOINT_TAG = "deepspeed"
"""The folder of DeepSpeed's files beside the index."""


class Index(NamedTuple):
    """What a checkpoint tells before DeepSpeed's files are read."""

    updates: int
    """Optimizer steps that are done."""
    num_ranks: int
    """Ranks that saved it."""


def write_index(folder: Path, layout: Layout, index: Index) -> None:
    """Names the layout, the ranks and the optimizer steps that are done."""
    saved = {"layout": {"ranks": index.num_ranks, **layout}, "updates": index.updates}
    (folder / INDEX).write_text(json.dumps(saved))


def read_index(folder: Path, layout: Layout) -> Index:
    """Ranks and optimizer steps of the checkpoint in `folder`.

    Raises ValueError when there is no checkpoint, or one of another layout.
    """
    path = folder / INDEX
    if not path.is_file():
        raise ValueError(f"resume: {folder} holds no learner checkpoint ({path} is missing)")
    saved = json.loads(path.read_text())
    differing = [name for name in layout if saved["layout"].get(name) != layout[name]]
    if differing:
        was = ", ".join(f"{name}={saved['layout'].get(name)}" for name in differing)
        now = ", ".join(f"{name}={layout[name]}" for name in differing)
        raise ValueError(f"resume: {folder} was saved with {was}; this run has {now}")
    return Index(updates=int(saved["updates"]), num_ranks=int(saved["layout"]["ranks"]))
