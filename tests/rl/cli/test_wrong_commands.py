"""What disk, network and engine refuse is one message; `scripts/show_refusals.py` prints them."""

from pathlib import Path

import pytest

from tests.rl.cli.wrong_commands import CASES, WrongCommand, refusal

pytestmark = [pytest.mark.engine, pytest.mark.long]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.tried}")
def test_wrong_command_is_said(case: WrongCommand, tmp_path: Path) -> None:
    assert case.said in refusal(case, tmp_path)
