"""A run by hand: T(B) = 1 s + 0.5 s B, groups of 10 and 30 tokens, 5 s of learning, 1 s of sync.

20 s with both answers, 30 s with the longer one, 6 s without any: 56 s a step.
"""

import json
import sys
from pathlib import Path

import pytest
import yaml

from rl.run.timeline import write_timeline
from rollout.timeline import LEARNER, Activity, Kind
from scripts import simulate_run
from scripts.simulate_run import Figures, compared, costs_of, requests, trained_lengths

AS_IT_WAS = Figures(seconds_per_step=56.0, engine_idle_share=6 / 56, tokens_per_second=40 / 56)


def generated(name: str, start: float, end: float) -> Activity:
    return Activity(kind=Kind.GENERATE, lane="engine", name=name, start=start, end=end)


def write_run(folder: Path, learning: float = 5.0) -> Path:
    folder.mkdir()
    recipe = {
        "prompts_per_step": 1,
        "algorithm": {"group_size": 2},
        "rollout": {"max_staleness": 0, "max_num_seqs": 4, "replicas": 1},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    row = {
        "loss": 0.1, "time/rollout": 50.0, "time/score": 0.0, "time/learn": learning,
        "time/sync": 1.0, "step_time": 51.0 + learning, "step_tokens": 40.0,
        "rollout/idle_share": (1 + learning) / (51 + learning),
    }  # fmt: skip
    steps = [json.dumps({"step": step, **row}) for step in (1, 2, 3)]
    (folder / "metrics.jsonl").write_text("\n".join(steps))
    fates = [
        {"id": f"{step}/p/{index}", "fate": fate, "tokens": tokens}
        for step in (0, 1, 2)
        for index, fate, tokens in ((0, "trained", 10), (1, "trained", 30), (2, "unused", 99))
    ]
    (folder / "history.jsonl").write_text("\n".join(json.dumps(fate) for fate in fates))
    learned = Activity(kind=Kind.LEARN, lane=LEARNER, name="step 3", start=150.0, end=155.0)
    first, second = generated("2/p/0", 100.0, 120.0), generated("2/p/1", 100.001, 150.0)
    write_timeline(folder, [first, second, learned])
    return folder


def test_a_run_that_is_as_the_simulator_thinks_is_simulated_as_it_was(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    costs = costs_of(folder)
    assert (costs.decode_base, costs.decode_sequence) == pytest.approx((1.0, 0.5), rel=1e-3)
    assert (costs.learner, costs.publish, costs.learner_tokens_per_second) == (5.0, 1.0, 8.0)
    measured, simulated = compared(folder, costs)
    for name in Figures.__slots__:
        assert getattr(measured, name) == pytest.approx(getattr(AS_IT_WAS, name))
        assert getattr(simulated, name) == pytest.approx(getattr(AS_IT_WAS, name), rel=1e-3)


def test_costs_may_be_those_of_another_run(tmp_path: Path) -> None:
    """Its learner takes 33 s, 28 s more a step."""
    folder, other = write_run(tmp_path / "run"), write_run(tmp_path / "other", learning=33.0)
    measured, simulated = compared(folder, costs_of(other))
    assert measured.seconds_per_step == pytest.approx(56.0)
    assert simulated.seconds_per_step == pytest.approx(84.0, rel=1e-3)


def test_a_run_whose_latest_step_sampled_nothing_takes_the_costs_of_another(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "timeline.jsonl").write_bytes(b"")
    with pytest.raises(ValueError, match="give the folder of a synchronous one as --costs"):
        costs_of(folder)


def test_steps_that_fill_the_pipe_and_empty_it_are_not_counted(tmp_path: Path) -> None:
    """At staleness 1 of six steps: the first two, and the last one, which took no time."""
    folder = write_run(tmp_path / "run")
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe["rollout"]["max_staleness"] = 1
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    rows = [json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])] * 6
    seconds = [900.0, 900.0, 30.0, 40.0, 50.0, 0.0]
    steps = [{**row, "step_time": taken} for row, taken in zip(rows, seconds, strict=True)]
    (folder / "metrics.jsonl").write_text("\n".join(json.dumps(step) for step in steps))
    measured, _ = compared(folder, costs_of(folder))
    assert measured.seconds_per_step == 40.0


def test_only_what_was_trained_on_is_replayed(tmp_path: Path) -> None:
    lengths = trained_lengths(write_run(tmp_path / "run"), 2)
    assert lengths.tolist() == [[10, 30]] * 3


def test_requests_that_a_stretch_cuts_off_have_no_known_length() -> None:
    """Two go over its beginning, two over its end."""
    seen = [generated("a", 0, 4), generated("b", 0, 9), generated("c", 1, 9), generated("d", 2, 3)]
    found = requests(seen, dict.fromkeys("abcd", 7))
    assert [each.num_tokens for each in found] == [0, 0, 0, 7]


def test_it_prints_both_sides_and_how_far_they_are_apart(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["simulate_run.py", str(write_run(tmp_path / "run"))])
    simulate_run.main()
    head, step, idle, speed = capsys.readouterr().out.splitlines()
    assert head.startswith("T(B) = 999.87 ms") and "8 tokens/s" in head
    assert step.split()[:3] == ["seconds_per_step", "measured", "56.000"]
    assert all(line.endswith("0%") for line in (step, idle, speed))
