"""Folders that can be trusted after a crash: every file on the disk, with its size and hash.

Flow: write files -> `seal` (sync them, then write manifest.json) -> the caller renames the folder.
`damage` says which file differs from the manifest. The manifest carries a hash of itself.
"""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rl.disk import sync_tree, write_synced

MANIFEST = "manifest.json"
DIGEST_BYTES = 32
MOST_NAMED = 5
"""Damaged files that a message names."""

Files = dict[str, dict[str, int | str]]
"""Relative path to `bytes` and `blake2b`."""


def seal(folder: Path) -> None:
    """Syncs every file and folder below `folder` to the disk and writes its manifest."""
    files = _files(folder)
    listed: Files = dict(zip(files, _in_parallel(folder, files), strict=True))
    write_synced(
        folder / MANIFEST, json.dumps({"files": listed, "digest": _digest(listed)}, indent=1)
    )
    sync_tree(folder)


def damage(folder: Path) -> str:
    """What differs from the manifest, by file; empty when the folder is whole."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        listed: Files = manifest["files"]
        whole = manifest["digest"] == _digest(listed)
    except FileNotFoundError:
        return f"{MANIFEST} is missing"
    except (OSError, ValueError, TypeError, KeyError) as error:
        return f"{MANIFEST} cannot be read ({error})"
    if not whole:
        return f"{MANIFEST} has other bytes than were saved"
    missing = [f"{name} is missing" for name in listed if not (folder / name).is_file()]
    present = [name for name in listed if (folder / name).is_file()]
    found = zip(present, _in_parallel(folder, present), strict=True)
    problems = missing + [p for name, entry in found if (p := _difference(name, entry, listed))]
    further = f" and {len(problems) - MOST_NAMED} more" if len(problems) > MOST_NAMED else ""
    return ", ".join(problems[:MOST_NAMED]) + further


def _files(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def _in_parallel(folder: Path, names: list[str]) -> list[dict[str, int | str]]:
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda name: _entry(folder / name), names))


def _entry(path: Path) -> dict[str, int | str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=DIGEST_BYTES))
    return {"bytes": path.stat().st_size, "blake2b": digest.hexdigest()}


def _difference(name: str, found: dict[str, Any], listed: Files) -> str:
    if found["bytes"] != listed[name]["bytes"]:
        return f"{name} has {found['bytes']} bytes instead of {listed[name]['bytes']}"
    same = found["blake2b"] == listed[name]["blake2b"]
    return "" if same else f"{name} has other bytes than were saved"


def _digest(listed: Files) -> str:
    text = json.dumps(listed, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()
