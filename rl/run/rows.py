"""The files of a run that grow row by row: how far a checkpoint vouches for them, and the rest.

A checkpoint keeps their sizes. What was written after it, a torn row included, is moved aside when
the run is resumed from it: those steps are done again.
"""

from collections.abc import Mapping
from pathlib import Path

from rl.disk import sync, write_synced

GROWING = ("metrics.jsonl", "history.jsonl")


def sizes(run_folder: Path) -> dict[str, int]:
    """Bytes of each growing file, all of them on the disk when this returns."""
    present = [run_folder / name for name in GROWING if (run_folder / name).is_file()]
    for path in present:
        sync(path)
    return {path.name: path.stat().st_size for path in present}


def move_rows_aside(run_folder: Path, kept: Mapping[str, int], step: int) -> None:
    """Moves every byte beyond `kept` (nothing is kept of a file not named there) aside.

    Raises ValueError when a file is shorter than it was.
    """
    for name in GROWING:
        path, size = run_folder / name, kept.get(name, 0)
        content = path.read_bytes() if path.is_file() else b""
        if len(content) < size:
            raise ValueError(
                f"{path} has {len(content)} bytes, {size} when step {step} was saved: rows of the "
                "run are lost; put the file back, or start anew without resume"
            )
        if content[size:]:
            write_synced(aside(path, step), content[size:])
            write_synced(path, content[:size])


def move_aside(path: Path, step: int) -> None:
    """Moves a file or folder that is later than `step` aside; nothing happens without it."""
    if path.exists():
        path.rename(aside(path, step))
        sync(path.parent)


def aside(path: Path, step: int) -> Path:
    """`<name>.after_step_N`, with a number behind it where that is taken."""
    first = path.with_name(f"{path.name}.after_step_{step}")
    number, place = 1, first
    while place.exists():
        number += 1
        place = first.with_name(f"{first.name}.{number}")
    return place
