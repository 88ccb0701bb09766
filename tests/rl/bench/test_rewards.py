"""A small run of the benchmark, with real processes: what it says, not how fast."""

import pytest

from rl.bench.rewards import completions, run


def test_answers_are_distinct_and_half_of_them_right():
    pairs = completions(3, 400)
    assert len({(p.answer, c.text) for p, c in pairs}) == 400


@pytest.mark.thorough
def test_a_run_compares_equal_judgements_and_hangs_on_one_alone():
    result = run("serial", rounds=2, num_completions=16, workers=2, timeout_seconds=4.0)
    assert (result.name, result.against) == ("rewards", "serial")
    assert result.low <= result.ratio <= result.high
    hanging = result.extra["beside_one_that_hangs"]
    assert hanging["hanging_verdict"] == "None: timed out: no result within 4 s"
    assert hanging["others_failed"] == 0
    assert hanging["others_seconds"] < hanging["hanging_seconds"]
