from dataclasses import replace
from pathlib import Path

from rl.report.protocol import chosen, comparable, differing, differing_options
from rl.report.run import ReportedRun
from tests.rl.report.reported import reported


def with_config(reported: ReportedRun, /, **changed: object) -> ReportedRun:
    record = reported.record
    return replace(reported, record=replace(record, config={**record.config, **changed}))


def hotter(run: ReportedRun) -> ReportedRun:
    """The run as if it had been evaluated at another temperature."""
    assert run.before and run.after
    before, after = (
        replace(stage, evaluation=replace(stage.evaluation, temperature=0.6))
        for stage in (run.before, run.after)
    )
    return replace(run, before=before, after=after)


def test_runs_on_the_same_problems_are_compared_even_when_one_has_not_ended(tmp_path: Path) -> None:
    runs = [reported(tmp_path, "one"), reported(tmp_path, "two", finished=False)]
    assert comparable(runs) == [runs]


def test_runs_that_were_evaluated_differently_are_kept_apart_and_say_why(tmp_path: Path) -> None:
    one, two = reported(tmp_path, "one"), hotter(reported(tmp_path, "two"))
    assert comparable([one, two]) == [[one], [two]]
    assert differing(two, one) == ["temperature: 0.6, 1"]


def test_another_version_of_the_lab_is_another_lab(tmp_path: Path) -> None:
    one, two = reported(tmp_path, "one"), reported(tmp_path, "two")
    new, old = (
        replace(run, record=replace(run.record, summary={**run.record.summary, "lab_version": v}))
        for run, v in ((one, "2"), (two, "1"))
    )
    assert differing(new, old) == ["lab version: 2, 1"]


def test_a_run_that_was_not_evaluated_is_compared_with_nothing(tmp_path: Path) -> None:
    run = replace(reported(tmp_path), before=None, after=None, change=None)
    assert comparable([run]) == []


def test_what_differs_in_the_recipes_is_listed_without_places_and_logs(tmp_path: Path) -> None:
    run = reported(tmp_path)
    other = with_config(
        run, seed=2, run={"dir": "/elsewhere"}, log={"project": "x"}, gate={"fraction": 0.2},
        defaults=["schema", {"reward": "sigmoid"}, {"gate": "none"}],
    )  # fmt: skip
    assert differing_options([run, other]) == {
        "reward": ["correct", "sigmoid"],
        "algorithm": ["grpo", "-"],
        "limit": ["constant", "-"],
        "seed": ["1", "2"],
        "gate.fraction": ["-", "0.2"],
    }
    assert differing_options([run, run]) == {}


def test_the_options_of_a_recipe_are_those_of_its_defaults_list(tmp_path: Path) -> None:
    options = {"reward": "correct", "gate": "none", "algorithm": "grpo", "limit": "constant"}
    assert chosen(reported(tmp_path)) == options
