"""Files that survive a crash: whole, and on the disk before anything relies on them."""

import os
from pathlib import Path


def write_synced(path: Path, content: str | bytes) -> None:
    """Writes `path` whole or not at all: beside it, to the disk, then in its place."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    sync(path.parent)


def sync_tree(folder: Path) -> None:
    """Brings every file and folder below `folder`, and itself, to the disk."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


def sync(path: Path) -> None:
    """Brings a file's bytes, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
