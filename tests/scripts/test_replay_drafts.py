"""Two steps of one prompt: what a drafter with memory gets right of the second."""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from scripts import replay_drafts
from scripts.replay_drafts import DRAFTERS, recorded_steps, replayed

ANSWER = "Step 1: 3 + 4 = 7.\nStep 2: 7 + 5 = 12.\n"


def write_run(folder: Path, num_steps: int) -> Path:
    (folder / "completions").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"model": {"path": "lab:short"}}))
    row = {"prompt": "3 + 4 + 5", "completion": ANSWER, "finish": "stop"}
    for step in range(1, num_steps + 1):
        file = folder / "completions" / f"step_{step:05}.parquet"
        pq.write_table(pa.Table.from_pylist([row]), file)
    return folder


def test_answers_are_tokens_again_with_their_end(tmp_path: Path) -> None:
    ((first,), (second,)) = recorded_steps(write_run(tmp_path / "run", 2))
    assert first.token_ids.tolist() == second.token_ids.tolist()
    assert len(first.token_ids) > 20 and first.token_ids[-1] not in first.token_ids[:-1]


def test_history_remembers_the_step_before_and_own_ngrams_do_not(tmp_path: Path) -> None:
    """The second time all but the first draft are whole: nine tokens a step at most."""
    once = recorded_steps(write_run(tmp_path / "once", 1))
    twice = recorded_steps(write_run(tmp_path / "twice", 2))
    for name, remembers in (("history", True), ("ngram", False)):
        alone, _ = replayed(DRAFTERS[name], once, running=1, drafts=8)
        both, seconds = replayed(DRAFTERS[name], twice, running=1, drafts=8)
        again = both.verifications - alone.verifications
        assert seconds > 0
        if remembers:
            assert 2 * again < alone.verifications
        else:
            assert again == alone.verifications


def test_it_prints_a_line_for_each_drafter_and_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "run", 2)
    asked = ["--drafters", "history", "ngram", "--running", "1", "2"]
    monkeypatch.setattr(sys, "argv", ["replay_drafts.py", str(folder), *asked])
    replay_drafts.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 answers of 2 steps"
    assert [each.split()[:2] for each in lines[2:]] == [
        [name, running] for name in ("history", "ngram") for running in ("1", "2")
    ]


@pytest.mark.parametrize(
    ("asked", "words"),
    [([], "log.completions_per_step"), (["--running", "300"], "give 1 to 256")],
)
def test_a_run_without_answers_and_too_many_rows_end_in_a_message(
    asked: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = write_run(tmp_path / "run", 0)
    monkeypatch.setattr(sys, "argv", ["replay_drafts.py", str(folder), *asked])
    with pytest.raises(SystemExit):
        replay_drafts.main()
    assert words in capsys.readouterr().err
