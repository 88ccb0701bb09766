"""`laconic bench`: the last line is JSON, as results are read by."""

import json

import pytest

from rl.bench.bench import Result
from rl.cli import bench
from rl.cli.main import main

SEEN = {}


def small(against, lengths):
    SEEN.update(against=against, lengths=lengths)
    return Result(name="small", against=against, ratio=1.5, low=1.25, high=1.75, setting={"n": 2})


@pytest.fixture(autouse=True)
def one_more_line_in_the_table(monkeypatch):
    line = bench.Bench(
        run="tests.rl.cli.test_bench:small",
        ratio_of="things per second",
        options={"against": ("old", "older"), "lengths": ("natural", "fixed")},
    )
    monkeypatch.setitem(bench.BENCHES, "small", line)


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["bench", *arguments])
    return stop.value.code


def test_the_last_line_is_the_result(capsys):
    assert run("small", "--json", "--lengths", "fixed") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {
        "name": "small", "against": "old", "ratio": 1.5, "low": 1.25, "high": 1.75,
        "setting": {"n": 2}, "extra": {},
    }  # fmt: skip


def test_without_json_it_is_said_in_words(capsys):
    assert run("small", "--against", "older") == 0
    assert capsys.readouterr().out.splitlines() == [
        "small against older: 1.50 [1.25, 1.75], ratio of things per second",
        "  n: 2",
    ]


def test_what_it_cannot_be_measured_against_is_refused(capsys):
    assert run("small", "--against", "newer") == 2
    assert "choose from" in capsys.readouterr().err


def test_further_words_are_refused(capsys):
    assert run("small", "num_steps=3") == 2
    assert "takes no further words" in capsys.readouterr().err
