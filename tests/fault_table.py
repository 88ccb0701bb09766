"""The table of faults: each test that injects one adds what came of it; printed at the end.

docs/faults.md keeps one such table and has the command that prints it.
"""

import sys
from collections.abc import Callable, Iterator

import pytest

AddFault = Callable[[str, str, str], None]
"""Adds a row: the fault, its outcome, the seconds that it took."""


@pytest.fixture(scope="session")
def add_fault(pytestconfig: pytest.Config) -> Iterator[AddFault]:
    rows: list[tuple[str, str, str]] = []
    yield lambda *row: rows.append(row)
    if rows and pytestconfig.getoption("capture") == "no":
        for fault, outcome, seconds in [("fault", "outcome", "seconds"), ("---",) * 3, *rows]:
            sys.stdout.write(f"\n| {fault} | {outcome} | {seconds} |")
        sys.stdout.write("\n")
