"""`laconic export` as a user calls it; the Hub is on loopback."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from rl.cli.main import main
from tests.hub_server import running_hub
from tests.rl.run_folders import write_run

KEY = "hf_" + "k" * 34


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def export(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["export", *arguments])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_a_finished_run_gets_its_card_and_a_copy(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "copy"
    assert export(str(finished), "--to", str(target)) == 0
    said = capsys.readouterr().out
    assert said == f"model: {finished / 'export'}\ncopied to {target}\n"
    names = {"README.md", "recipe.yaml", "config.json", "model.safetensors"}
    assert {path.name for path in target.iterdir()} == names
    assert export(str(finished), "--to", str(target)) == 1
    assert "not empty, and nothing is overwritten" in capsys.readouterr().err


def test_pushing_twice_makes_one_commit_and_says_so(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_hub(**{KEY: ("ada",)}) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", KEY)
        assert export(str(finished), "--push", "ada/short") == 0
        repository = hub.repositories["ada/short"]
        said = capsys.readouterr().out
        assert f"pushed to {hub.url}/ada/short in one commit, {repository.head}" in said
        assert export(str(finished), "--push", "ada/short") == 0
        said = capsys.readouterr().out
        assert "holds the same files" in said and "nothing was committed" in said
        assert len(repository.commits) == 2
        assert repository.commits[1].startswith("Laconic: update 30, config ")
        files = {p.name: p.read_bytes() for p in (finished / "export").iterdir()}
        assert {n: c for n, c in repository.files.items() if n != ".gitattributes"} == files
        assert export(str(finished), "--push", "grace/short") == 1
        said = capsys.readouterr().err
        assert said.startswith("laconic export: grace/short: the key has no right to write there")
        assert said.count("\n") == 1 and KEY not in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--push", "no-user"], "--push no-user: give USER/NAME"),
        (["num_steps=3"], "takes no overrides: num_steps=3"),
        (["--step", "7"], "has not finished and saved no checkpoint"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    finished: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(str(finished), *arguments) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("laconic export: ") and said.count("\n") == 1


def test_a_step_without_a_checkpoint_lists_those_that_there_are(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (10, 2):
        (finished / "checkpoints" / f"step_{step}").mkdir(parents=True)
    assert export(str(finished), "--step", "7") == 1
    assert "no such checkpoint" in (said := capsys.readouterr().err)
    assert "there are 2, 10" in said


def test_a_folder_that_is_no_run_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(str(tmp_path)) == 1
    assert "is no run: it has no recipe.yaml" in capsys.readouterr().err
