"""Rows of a dataset, from wherever it lies: the Hub, a folder, a file, or the packaged lab.

No code of a dataset is run and nothing is unpickled.
"""

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]

LAB = Path(__file__).parent / "lab"
LAB_FILES = {"train": "train", "test": "heldout"}
SUFFIXES = {".jsonl", ".parquet"}


def load_rows(path: str, split: str) -> list[Row]:
    """The rows of `path`: `lab:short` or `lab:long`, a JSONL or parquet file, a folder, a Hub name.

    A single file is one split, so `split` does not matter for it. Raises ValueError when nothing is
    there, or with the line numbers of lines that are not JSON objects.
    """
    if path.startswith("lab:"):
        return _read_jsonl(_lab_file(path, split))
    local = Path(path).expanduser()
    if local.is_file():
        return _read_file(local)
    if local.is_dir():
        return _read_folder(local.resolve(), split)
    if local.suffix in SUFFIXES or path.startswith((".", "/", "~")):
        raise ValueError(f"data path {path}: no such file or folder (looked in {Path.cwd()})")
    return _load_dataset(path, split)


def _lab_file(path: str, split: str) -> Path:
    name = path.removeprefix("lab:")
    file = LAB / f"{name}_{LAB_FILES.get(split, '')}.jsonl"
    if split not in LAB_FILES or not file.is_file():
        raise ValueError(
            f"data path {path}, split {split}: the lab has lab:short and lab:long, each with the "
            "splits train and test"
        )
    return file


def _read_file(file: Path) -> list[Row]:
    if file.suffix == ".jsonl":
        return _read_jsonl(file)
    if file.suffix == ".parquet":
        return _load_dataset("parquet", "train", data_files=str(file))
    raise ValueError(
        f"data path {file}: cannot read {file.suffix or 'a file without a suffix'}; give "
        f"{' or '.join(sorted(SUFFIXES))}, a folder, or a Hub name"
    )


def _read_jsonl(file: Path) -> list[Row]:
    rows, problems = [], []
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.isspace():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                problems.append(f"line {number} is not JSON: {error}")
                continue
            if isinstance(row, dict):
                rows.append(row)
            else:
                problems.append(f"line {number} is a JSON {type(row).__name__}, not an object")
    if problems:
        raise ValueError(listed(f"{file} has malformed lines", problems))
    return rows


def _load_dataset(path: str, split: str, data_files: str | None = None) -> list[Row]:
    import datasets

    try:
        rows = datasets.load_dataset(path, data_files=data_files, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise ValueError(
            f"data path {path}, split {split}: {type(error).__name__}: {error}. Give a Hub name "
            "that this machine can reach or has cached, a folder, a .jsonl or a .parquet file"
        ) from error
    return list(rows)


def _read_folder(folder: Path, split: str) -> list[Row]:
    """Data files that `datasets` recognizes, or what its `save_to_disk` wrote."""
    import datasets

    saved = folder / split if (folder / "dataset_dict.json").is_file() else folder
    if (saved / "state.json").is_file():
        return list(datasets.load_from_disk(str(saved)))
    return _load_dataset(str(folder), split)


def listed(headline: str, problems: list[str], most: int = 10) -> str:
    """A message that lists the first problems and says how many there are."""
    shown = [f"  {problem}" for problem in problems[:most]]
    more = len(problems) - most
    return "\n".join(
        [f"{headline} ({len(problems)}):", *shown, *([f"  and {more} more"] * (more > 0))]
    )
