"""`laconic report` as a user calls it."""

from pathlib import Path

import pytest

from rl.cli.main import main
from rl.cli.report import run_names
from tests.rl.report.reported import write_trained


def laconic(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["report", *arguments])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_one_run_gets_its_page_and_pictures_into_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_trained(tmp_path / "run")
    assert laconic(str(folder)) == 0
    written = [folder / name for name in ("report.html", "report-pareto.svg", "report-pareto.png")]
    assert capsys.readouterr().out == "".join(f"{path}\n" for path in written)
    assert written[0].read_text().startswith("<!doctype html>")
    assert written[2].read_bytes().startswith(b"\x89PNG")


def test_several_runs_share_a_page_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [write_trained(tmp_path / name) for name in ("one", "two")]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert laconic(*map(str, folders)) == 0
    assert capsys.readouterr().out.splitlines()[0] == "report.html"
    assert laconic(*map(str, folders), "--to", "new/page.html") == 0
    assert (tmp_path / "here" / "new" / "page-pareto.svg").is_file()


@pytest.mark.parametrize("there", ["report.html", "report-pareto.svg", "report-pareto.png"])
def test_nothing_is_overwritten(
    tmp_path: Path, there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_trained(tmp_path / "run")
    (folder / there).write_text("mine")
    files = sorted(folder.iterdir())
    assert laconic(str(folder)) == 1
    said = capsys.readouterr().err
    assert f"{folder / there}: there already, and nothing is overwritten" in said
    assert "give a new file with --to" in said
    assert sorted(folder.iterdir()) == files and (folder / there).read_text() == "mine"


def test_every_folder_that_is_no_run_is_named_in_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_trained(tmp_path / "run")
    assert laconic(str(folder), str(tmp_path), str(tmp_path / "none")) == 1
    said = capsys.readouterr().err
    assert said.startswith("laconic report: 2 problem(s):\n- ")
    assert f"{tmp_path / 'none'} is no run: it has no recipe.yaml" in said
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "run/../run"], "given twice: "),
        (["run", "--to", "page.pdf"], "--to page.pdf: give a file that ends in .html"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_trained(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert laconic(*arguments) == 1
    said = capsys.readouterr().err
    assert message in said and said.startswith("laconic report: ") and said.count("\n") == 1


def test_runs_with_the_same_last_name_are_told_apart(tmp_path: Path) -> None:
    folders = [tmp_path / "a" / "run", tmp_path / "b" / "run", tmp_path / "c"]
    assert run_names(folders) == ["a/run", "b/run", "c"]
