import json
from pathlib import Path

import pytest

from rl.run.history import append_history

RECORD = {
    "id": "3/a/0",
    "prompt": "a",
    "step": 3,
    "versions": [2, 3],
    "finish": "stop",
    "tokens": 7,
    "fate": "consumed",
}


def test_records_are_appended_one_per_line(tmp_path: Path) -> None:
    append_history(tmp_path, [RECORD, {**RECORD, "fate": "aborted", "finish": None}])
    append_history(tmp_path, [])
    append_history(tmp_path, [RECORD])
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["fate"] for line in lines] == ["consumed", "aborted", "consumed"]
    assert json.loads(lines[0]) == RECORD


def test_text_does_not_get_into_the_history(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="text"):
        append_history(tmp_path, [{**RECORD, "text": "thinking"}])
