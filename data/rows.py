"""Rows of a dataset, from wherever it lies: the Hub, a folder, a file, or the packaged lab.

No code of a dataset is run and nothing is unpickled.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]

LAB = Path(__file__).parent / "lab"
LAB_FILES = {"train": "train", "test": "heldout"}
SUFFIXES = {".jsonl", ".parquet"}


def load_rows(path: str, split: str) -> list[Row]:
    """The rows of `path`: `lab:short` or `lab:long`, a JSONL or parquet file, a folder, a Hub name.

    A single file is one split, so `split` does not matter for it. Raises ValueError when nothing is
    there or it cannot be read, with the line numbers of lines that are not JSON objects.
    """
    if path.startswith("lab:"):
        return _read_jsonl(_lab_file(path, split))
    try:
        local = Path(path).expanduser()
        is_file, is_folder = local.is_file(), local.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"data path {path!r} is no path: {error}") from error
    if is_file:
        return _read_file(local)
    if is_folder:
        return _read_folder(local.resolve(), split)
    if local.suffix in SUFFIXES or path.startswith((".", "/", "~")):
        looked = "" if local.is_absolute() else f" (looked in {Path.cwd()})"
        raise ValueError(f"data path {path}: no such file or folder{looked}")
    return _load_dataset(path, split)


def _lab_file(path: str, split: str) -> Path:
    name = path.removeprefix("lab:")
    if name not in ("short", "long") or split not in LAB_FILES:
        raise ValueError(
            f"data path {path}, split {split}: the lab has lab:short and lab:long, each with the "
            "splits train and test"
        )
    return LAB / f"{name}_{LAB_FILES[split]}.jsonl"


def _read_file(file: Path) -> list[Row]:
    if file.suffix == ".jsonl":
        return _read_jsonl(file)
    if file.suffix == ".parquet":
        return _read_parquet(file)
    raise ValueError(
        f"data path {file}: cannot read {file.suffix or 'a file without a suffix'}; give "
        f"{' or '.join(sorted(SUFFIXES))}, a folder, or a Hub name"
    )


def _read_jsonl(file: Path) -> list[Row]:
    rows, problems = [], []
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        raise ValueError(f"data path {file} cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            problems.append(f"line {number} is not UTF-8: {error.reason} at byte {error.start}")
        except RecursionError:
            problems.append(f"line {number} nests too deeply")
        except ValueError as error:
            problems.append(f"line {number} is not JSON: {error}")
        else:
            if isinstance(row, dict):
                rows.append(row)
            else:
                problems.append(f"line {number} is a JSON {type(row).__name__}, not an object")
    if problems:
        raise ValueError(listed(f"{file} has malformed lines", problems))
    return rows


def _read_parquet(file: Path) -> list[Row]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        # ParquetFile reads this one file, where read_table would add partition columns.
        with ParquetFile(file) as table:
            return [dict(row) for row in table.read().to_pylist()]
    except (ArrowException, OSError, ValueError, OverflowError) as error:
        raise ValueError(_unreadable(str(file), "train", error)) from error


def _load_dataset(path: str, split: str) -> list[Row]:
    import datasets

    return _rows(lambda: datasets.load_dataset(path, split=split), path, split)


def _read_folder(folder: Path, split: str) -> list[Row]:
    """Data files that `datasets` recognizes, or what its `save_to_disk` wrote."""
    import datasets

    saved = folder / split if (folder / "dataset_dict.json").is_file() else folder
    if (saved / "state.json").is_file():
        return _rows(lambda: datasets.load_from_disk(str(saved)), str(folder), split)
    return _load_dataset(str(folder), split)


def _rows(load: Callable[[], Any], path: str, split: str) -> list[Row]:
    try:
        return [dict(row) for row in load()]
    # `datasets` passes on whatever its readers raise: pandas', pyarrow's, KeyErrors of its own.
    except Exception as error:
        raise ValueError(_unreadable(path, split, error)) from error


def _unreadable(path: str, split: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:300]
    return (
        f"data path {path}, split {split}: {type(error).__name__}: {reason}. Give a Hub name that "
        "this machine can reach or has cached, a folder, a .jsonl or a .parquet file"
    )


def listed(headline: str, problems: list[str], most: int = 10) -> str:
    """A message that lists the first problems and says how many there are."""
    shown = [f"  {problem}" for problem in problems[:most]]
    more = len(problems) - most
    return "\n".join(
        [f"{headline} ({len(problems)}):", *shown, *([f"  and {more} more"] * (more > 0))]
    )
