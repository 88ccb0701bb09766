"""Models in Hugging Face folders, tensor by tensor: compared, and written merged.

Only safetensors are read, never a pickle. Memory holds one shard of the result and one tensor of
each model.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

INDEX = "model.safetensors.index.json"
WHOLE = "model.safetensors"
COPIED = (".json", ".jinja", ".txt", ".model")
"""Suffixes of configs and tokenizer files, which the merged model has from the first one."""
LISTED = 3
"""Names that a problem lists before it says how many more there are."""

Merge = Callable[[str, Tensor], Tensor]
"""A tensor of the first model, by name, to the merged one."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Where each tensor of a folder lies, and its shape."""

    folder: Path
    files: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]

    def names_by_file(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, file in self.files.items():
            found.setdefault(file, []).append(name)
        return found


def read_weights(folder: Path, whole: str = WHOLE, index: str = INDEX) -> Weights:
    """The headers of a folder's safetensors; raises ValueError with the files that are missing."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder; give a model's folder")
    names = _shards(folder, whole, index)
    files: dict[str, str] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for file in names:
        try:
            with safe_open(folder / file, framework="pt") as shard:
                for name in shard.keys():  # noqa: SIM118
                    files[name] = file
                    shapes[name] = tuple(shard.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{folder / file} is damaged ({error}); copy it again") from error
    return Weights(folder=folder, files=files, shapes=shapes)


def differences(one: Weights, other: Weights) -> list[str]:
    """What keeps two models from being merged: names of one only, shapes that differ."""
    found = []
    for weights, rest in ((one, other), (other, one)):
        if only := sorted(weights.files.keys() - rest.files.keys()):
            found.append(f"{weights.folder} has weights that {rest.folder} lacks: {listed(only)}")
    differ = [
        f"{name} {list(shape)} and {list(other.shapes[name])}"
        for name, shape in sorted(one.shapes.items())
        if name in other.shapes and other.shapes[name] != shape
    ]
    if differ:
        found.append(f"{one.folder} and {other.folder} have other shapes: {listed(differ)}")
    return found


@contextmanager
def opened(weights: Weights) -> Iterator[Callable[[str], Tensor]]:
    """Inside, reads any tensor by name; files are mapped, not loaded."""
    with ExitStack() as files:
        shards = {
            file: files.enter_context(safe_open(weights.folder / file, framework="pt"))
            for file in sorted(set(weights.files.values()))
        }
        yield lambda name: shards[weights.files[name]].get_tensor(name)


def write_merged(base: Weights, target: Path, merge: Merge, note: Mapping[str, Any]) -> None:
    """Writes `merge` of every tensor of `base`, in its dtype and shards, with its other files.

    `note` says in merge.json how the model was made. The folder appears when it is whole.
    """
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with opened(base) as tensor:
        for file, names in base.names_by_file().items():
            shard = {}
            for name in names:
                original = tensor(name)
                shard[name] = merge(name, original).to(original.dtype).contiguous()
            save_file(shard, partial / file, metadata={"format": "pt"})
    for path in sorted(base.folder.iterdir()):
        if path.is_file() and path.suffix in COPIED:
            shutil.copy(path, partial / path.name)
    (partial / "merge.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    if target.is_dir():
        target.rmdir()
    partial.rename(target)


def merged_buckets(
    base: Weights, merge: Merge, bucket_bytes: int
) -> Iterator[list[tuple[str, Tensor]]]:
    """`merge` of every tensor of `base`, in its dtype, for an engine to take bucket by bucket.

    The order is that of `write_merged`. A tensor larger than `bucket_bytes` is a bucket of its own.
    """
    bucket: list[tuple[str, Tensor]] = []
    used = 0
    with opened(base) as tensor:
        for name in (name for names in base.names_by_file().values() for name in names):
            original = tensor(name)
            merged = merge(name, original).to(original.dtype).contiguous()
            if bucket and used + merged.nbytes > bucket_bytes:
                yield bucket
                bucket, used = [], 0
            bucket.append((name, merged))
            used += merged.nbytes
    if bucket:
        yield bucket


def listed(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _shards(folder: Path, whole: str, index: str) -> list[str]:
    """Names of the weight files, all of which exist."""
    if (folder / index).is_file():
        try:
            shards = sorted(set(json.loads((folder / index).read_text())["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{folder / index} cannot be read ({error!r})") from error
    else:
        shards = [whole]
    # A name with a path in it would be read from, and written to, somewhere else.
    if missing := [
        name for name in shards if Path(name).name != name or not (folder / name).is_file()
    ]:
        raise ValueError(
            f"{folder}: {listed(missing)} is missing; weights are read from safetensors only"
        )
    return shards
