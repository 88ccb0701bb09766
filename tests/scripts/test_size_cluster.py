import sys

import pytest

from scripts import size_cluster

SMALL = "--gpus 1 4 --steps 2 --num-groups 4 --group-size 2 --median-tokens 100 --limit 1000"


@pytest.fixture
def rows():
    asked = size_cluster.parser().parse_args(SMALL.split())
    return list(size_cluster.sizes(asked))


def test_each_row_uses_all_gpus_and_one_is_never_split(rows):
    split = [(r.num_gpus, r.max_staleness, r.num_engines, r.num_learners) for r in rows]
    assert split[:2] == [(1, 0, 1, 1), (4, 0, 4, 4)]
    assert [row[:2] for row in split[2:]] == [(4, 1), (4, 4)]
    assert all(engines + learners == 4 for *_, engines, learners in split[2:])


def test_four_gpus_are_faster_than_one(rows):
    assert rows[1].report.seconds_per_step < rows[0].report.seconds_per_step


def test_the_best_split_is_as_good_as_every_other(rows):
    asked = size_cluster.parser().parse_args(SMALL.split())
    others = [size_cluster.sized(asked, 4, n, 4 - n, 4) for n in (1, 2, 3)]
    best = max(other.report.tokens_per_second for other in others)
    assert rows[3].report.tokens_per_second == best


def test_the_table_has_a_line_per_row_under_its_columns(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["size_cluster.py", *SMALL.split()])
    size_cluster.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and len({len(each) for each in lines}) == 1
    assert lines[0].split()[:2] == ["GPUs", "engines"]
