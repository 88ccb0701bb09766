"""Prints what was tried and what was said, for every wrong input that a user can give.

    python scripts/show_refusals.py            # a Markdown table; exits 1 when one was accepted
    python scripts/show_refusals.py --kind data

The cases are those of `tests/rl/cli/wrong_inputs.py` (config, data, model, reward, gate) and of
`tests/rl/cli/wrong_commands.py` (disk, network, engine; minutes, for engines are started).
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IN_PROCESS = ("config", "data", "model", "reward", "gate")
COMMANDS = ("disk", "network", "engine")

Row = tuple[str, str, str, bool]
"""Kind, what was tried, what was said, and whether that is what is documented."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kind", choices=[*IN_PROCESS, *COMMANDS])
    kind = parser.parse_args().kind
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.path.insert(0, str(ROOT))
    print("| what | what was tried | what was said |\n|---|---|---|")
    refused = []
    for what, tried, said, documented in _rows((kind,) if kind else (*IN_PROCESS, *COMMANDS)):
        print(f"| {what} | {_cell(tried)} | {_cell(said)} |", flush=True)
        refused.append(documented)
    print(f"\n{sum(refused)} of {len(refused)} wrong inputs were refused as documented.")
    raise SystemExit(not all(refused))


def _rows(kinds: tuple[str, ...]) -> Iterator[Row]:
    from tests.rl.cli import wrong_commands, wrong_inputs

    for case in wrong_inputs.CASES:
        if case.kind in kinds:
            said = _said(partial(wrong_inputs.refusal, case))
            yield case.kind, case.tried, said, case.said in said
    for command in wrong_commands.CASES:
        if command.kind in kinds:
            said = _said(partial(wrong_commands.refusal, command))
            yield command.kind, command.tried, said, command.said in said


def _said(refusal: Callable[[Path], str]) -> str:
    """What `refusal` returns in an empty folder, which is the current one meanwhile."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            return refusal(Path(folder)).replace(folder, "")
        # What is not refused as documented is shown, with its type, in its own row.
        except Exception as error:
            return f"NOT AS DOCUMENTED, {type(error).__name__}: {error}"
        finally:
            os.chdir(here)


def _cell(text: str, most: int = 300) -> str:
    flat = " ".join(text.removeprefix("- ").split()).replace("|", "\\|")
    return flat if len(flat) <= most else flat[: most - 3] + "..."


if __name__ == "__main__":
    main()
