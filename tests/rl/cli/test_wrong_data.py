"""Wrong data end a run before anything starts: one message, no traceback, no run folder."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LACONIC = Path(sys.executable).with_name("laconic")
QUESTION = "Start with 8 and work modulo 10: u-7. What is the result?"

pytestmark = pytest.mark.engine


def refusal(folder: Path, rows: list[dict[str, object]], *overrides: str) -> str:
    """What the launcher says about a run on `rows`; it must exit with 2 and leave nothing."""
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = folder / "run"
    done = subprocess.run(
        [str(LACONIC), "train", str(ROOT / "recipes" / "quickstart.yaml"), f"data.path={data}",
         f"run.dir={run}", *overrides],
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not run.exists()
    return done.stderr


def test_a_dataset_without_answers_is_named_with_its_columns(tmp_path: Path) -> None:
    said = refusal(tmp_path, [{"prompt": QUESTION, "level": 1}])
    assert "has the columns prompt, level" in said
    assert "set data.answer_column=NAME" in said


def test_a_malformed_row_is_named_by_number(tmp_path: Path) -> None:
    good = {"prompt": QUESTION, "answer": "1"}
    said = refusal(tmp_path, [good, {"prompt": QUESTION, "answer": ""}])
    assert "row 2: answer is empty" in said
    assert "row 1" not in said


def test_a_prompt_longer_than_allowed_is_named_with_its_length(tmp_path: Path) -> None:
    row = {"prompt": " ".join([QUESTION] * 30), "answer": "1"}
    said = refusal(tmp_path, [row])
    assert "row 1: the prompt has" in said
    assert "more than rollout.max_prompt_tokens=256" in said
