import asyncio
from io import StringIO

import pytest
from rich.console import Console

from rl.evaluate.evaluate import evaluate
from rl.evaluate.evaluation import Evaluation
from rl.run.progress import RunProgress, evaluation_line, step_line
from tests.rl.builders import TableEngine, prompt, verify_text

METRICS = {
    "accuracy": 0.5,
    "completions/mean_length": 96.25,
    "reward": 0.71,
    "grad_norm": 0.4,
    "step_time": 1.9,
}


def evaluation(answers: dict[str, list[tuple[int, str]]], greedy: bool = True) -> Evaluation:
    prompts = [prompt("a", level=1), prompt("b", level=2)]
    return asyncio.run(
        evaluate(
            TableEngine(answers),
            prompts,
            verify_text,
            name="x",
            limit=99,
            samples_per_problem=1,
            greedy=greedy,
        )
    )


BASE = {"a": [(10, "4"), (12, "4")], "b": [(30, "no"), (40, "no")]}
FINAL = {"a": [(5, "4"), (6, "4")], "b": [(15, "4"), (14, "no")]}


def printed(progress_calls: object, *, terminal: bool) -> str:
    file = StringIO()
    console = Console(file=file, force_terminal=terminal, width=80)
    with RunProgress(20, console=console) as progress:
        progress_calls(progress)  # type: ignore[operator]
    return file.getvalue()


def test_a_step_is_one_line_with_the_numbers_that_matter() -> None:
    words = " ".join(step_line(3, 20, METRICS).split())
    assert words == "step 3/20 accuracy 0.500 tokens 96.2 reward 0.710 grad 0.4 s/step 1.90"


def test_lines_of_different_steps_align() -> None:
    large = {**METRICS, "grad_norm": 123456.7, "completions/mean_length": 12345.6}
    assert len(step_line(1, 20, METRICS)) == len(step_line(20, 20, large))
    assert len(step_line(1, 20, {})) == len(step_line(20, 20, large))


def test_a_plain_log_gets_lines_only() -> None:
    text = printed(lambda p: [p.note("starting"), p.step(1, METRICS)], terminal=False)
    assert text.splitlines() == ["starting", step_line(1, 20, METRICS)]


def test_a_terminal_gets_a_bar_below_the_lines() -> None:
    text = printed(lambda p: p.step(1, METRICS), terminal=True)
    assert step_line(1, 20, METRICS) in text
    assert "1/20" in text.split(step_line(1, 20, METRICS))[1]


def test_nothing_is_printed_when_disabled(capsys: pytest.CaptureFixture[str]) -> None:
    with RunProgress(20, enabled=False) as progress:
        progress.step(1, METRICS)
        progress.table(evaluation(BASE), evaluation(FINAL))
    assert capsys.readouterr().out == ""


def test_table_compares_sampled_greedy_and_each_level() -> None:
    base, final = evaluation(BASE), evaluation(FINAL)
    lines = printed(lambda p: p.table(base, final), terminal=False).splitlines()
    rows = {line[:13].strip(): line[13:].split() for line in lines if line.startswith(" ")}
    assert rows["sampled, T=1"] == ["0.500", "1.000", "+0.500", "20.0", "10.0", "0.50"]
    assert rows["greedy"] == ["0.500", "0.500", "+0.000", "26.0", "10.0", "0.38"]
    assert rows["level 2"] == ["0.000", "1.000", "+1.000", "30.0", "15.0", "0.50"]
    assert "AES +3.50 (weights 1/3/5)" in lines[-1]


def test_table_without_a_greedy_pass_has_no_greedy_row() -> None:
    base, final = evaluation(BASE, greedy=False), evaluation(FINAL, greedy=False)
    assert "greedy" not in printed(lambda p: p.table(base, final), terminal=False)


def test_evaluation_line_names_grader_failures() -> None:
    line = evaluation_line("base", evaluation({**BASE, "b": [(30, "?"), (40, "?")]}))
    assert line.startswith("base: accuracy 1.000 [1.000, 1.000], 20.0 tokens")
    assert line.endswith("2 without a verdict (grader failed)")
