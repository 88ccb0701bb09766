from pathlib import Path

import pytest

from rl.run.rows import aside, move_aside, move_rows_aside, sizes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step":1}\n{"step":2}\n')
    (tmp_path / "history.jsonl").write_bytes(b'{"id":"a"}\n')
    return tmp_path


def test_rows_beyond_the_sizes_of_the_checkpoint_move_aside(folder: Path) -> None:
    kept = sizes(folder)
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step":3}\n{"ste')
    move_rows_aside(folder, kept, 2)
    assert (folder / "metrics.jsonl").read_bytes() == b'{"step":1}\n{"step":2}\n'
    assert (folder / "metrics.jsonl.after_step_2").read_bytes() == b'{"step":3}\n{"ste'
    assert not (folder / "history.jsonl.after_step_2").exists()


def test_nothing_moved_aside_is_overwritten(folder: Path) -> None:
    kept = sizes(folder)
    for content in (b"first", b"second"):
        with (folder / "metrics.jsonl").open("ab") as file:
            file.write(content)
        move_rows_aside(folder, kept, 2)
    assert (folder / "metrics.jsonl.after_step_2").read_bytes() == b"first"
    assert (folder / "metrics.jsonl.after_step_2.2").read_bytes() == b"second"


def test_without_a_checkpoint_every_row_moves_aside(folder: Path) -> None:
    move_rows_aside(folder, {}, 0)
    assert (folder / "metrics.jsonl").read_bytes() == b""
    assert (folder / "metrics.jsonl.after_step_0").read_bytes() == b'{"step":1}\n{"step":2}\n'


def test_lost_rows_are_an_error(folder: Path) -> None:
    kept = sizes(folder)
    (folder / "history.jsonl").unlink()
    with pytest.raises(ValueError, match=r"history.jsonl has 0 bytes, 11 when step 2 was saved"):
        move_rows_aside(folder, kept, 2)


def test_a_folder_moves_aside_and_a_missing_one_does_not(tmp_path: Path) -> None:
    (tmp_path / "step_4").mkdir()
    move_aside(tmp_path / "step_4", 2)
    move_aside(tmp_path / "step_4", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step_4.after_step_2"]
    assert aside(tmp_path / "step_4", 2).name == "step_4.after_step_2.2"
