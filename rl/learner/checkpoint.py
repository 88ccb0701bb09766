"""What a learner checkpoint says about itself, beside DeepSpeed's files."""

import json
from pathlib import Path

Layout = dict[str, int | str]
"""Settings that a checkpoint's files depend on, by config key."""

INDEX = "learner.json"
CHECKPOINT_TAG = "deepspeed"
"""The folder of DeepSpeed's files beside the index."""


def write_index(folder: Path, layout: Layout, updates: int) -> None:
    """Names the layout and the optimizer steps that are done."""
    (folder / INDEX).write_text(json.dumps({"layout": layout, "updates": updates}))


def read_index(folder: Path, layout: Layout) -> int:
    """The optimizer steps that the checkpoint in `folder` has done.

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
    return int(saved["updates"])
