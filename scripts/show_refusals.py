"""Prints what was tried and what was said, for every wrong input of config, data, model, reward.

    python scripts/show_refusals.py            # a Markdown table; exits 1 when one was accepted
    python scripts/show_refusals.py --kind data

The cases are those of `tests/rl/cli/wrong_inputs.py`.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kind", choices=["config", "data", "model", "reward"])
    kind = parser.parse_args().kind
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.path.insert(0, str(ROOT))
    from tests.rl.cli.wrong_inputs import CASES

    cases = [case for case in CASES if kind in (None, case.kind)]
    print("| what | what was tried | what was said |\n|---|---|---|")
    failures = 0
    for case in cases:
        said = _said(case)
        failures += case.said not in said
        print(f"| {case.kind} | {_cell(case.tried)} | {_cell(said)} |")
    print(f"\n{len(cases) - failures} of {len(cases)} wrong inputs were refused as documented.")
    raise SystemExit(bool(failures))


def _said(case: object) -> str:
    from tests.rl.cli.wrong_inputs import Wrong, refusal

    assert isinstance(case, Wrong)
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            return refusal(case, Path(folder)).replace(folder, "")
        # What is not refused as documented is shown, with its type, in its own row.
        except Exception as error:
            return f"TRACEBACK {type(error).__name__}: {error}"
        finally:
            os.chdir(here)


def _cell(text: str, most: int = 300) -> str:
    flat = " ".join(text.removeprefix("- ").split()).replace("|", "\\|")
    return flat if len(flat) <= most else flat[: most - 3] + "..."


if __name__ == "__main__":
    main()
