from io import StringIO
from pathlib import Path

from rich.console import Console

from rl.evaluate.results import results
from rl.evaluate.table import footnotes, headline, tables
from tests.rl.evaluate.samples import random_table, stored

ABOUT = {"engine": "vllm 0.32.0"}
BASE = {"a": [(10, "4")] * 4, "b": [(12, "no")] * 4}
MODEL = {"a": [(5, "4")] * 4, "b": [(5, "4"), (5, "no"), (5, "no"), (4, "4")]}


def rows(content: dict[str, object]) -> dict[str, list[str]]:
    """First cell to the others, of all tables; later tables win."""
    file = StringIO()
    console = Console(file=file, width=200)
    for table in tables(content):
        console.print(table)
    lines = [line for line in file.getvalue().splitlines() if line.strip()]
    return {line.split("  ")[0].strip(): line.split("  ")[1:] for line in lines}


def words(cells: list[str]) -> str:
    return " ".join(" ".join(cells).split())


def test_figures_stand_beside_greedy_ones_and_their_base(tmp_path: Path) -> None:
    base = stored(tmp_path / "base", BASE, "[before]")
    content = results(stored(tmp_path, MODEL, "after"), ABOUT, [4, 16], base)
    shown = rows(content)
    assert shown.keys() >= {"against [before]", "token_ratio", "aes"}
    assert shown.keys().isdisjoint({"avg@3", "pass@1"})
    assert words(shown["accuracy"]).startswith("0.500 [0.000, 1.000] +0.167 [")
    assert words(shown["token_ratio"]).startswith("0.455 [")
    assert words(shown["4"]).startswith("0.000 [0.000, 0.000] 4.0 [4.0, 4.0] -")


def test_without_base_levels_or_greedy_answers_there_are_no_such_tables(tmp_path: Path) -> None:
    measured = stored(tmp_path, random_table(1, 4), "x")
    content = results(measured, ABOUT, [16], None) | {"by_level": [], "greedy": None}
    assert len(tables(content)) == 2
    assert footnotes(content)[0].startswith("[low, high]")
    assert not any("AES" in note for note in footnotes(content))


def test_footnotes_count_what_was_not_graded(tmp_path: Path) -> None:
    answers = {"a": [(2, "?"), (2, "4"), (2, "4"), (2, "?")]}
    content = results(stored(tmp_path, answers, "x"), ABOUT, [16], None)
    assert footnotes(content)[1].endswith("left out of the accuracy: 1 sampled, 1 greedy")


def test_headline_says_how_it_was_measured() -> None:
    settings = {
        "data": "lab:short", "split": "test", "num_problems": 300, "samples_per_problem": 4,
        "temperature": 1.0, "max_response_tokens": 512,
    }  # fmt: skip
    content = {"model": "m", "engine": "vllm 0.32.0", "settings": settings}
    assert headline(content) == (
        "m on lab:short (test): 300 problems, 4 samples each at T=1, limit 512 tokens, vllm 0.32.0"
    )


def figure(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.25, "high": value + 0.25}


def test_votes_budgets_and_curves_have_tables_where_there_are_any(tmp_path: Path) -> None:
    content = results(stored(tmp_path, MODEL, "x"), ABOUT, [16], None)
    content["decoding"] = [
        {
            "rule": "short-1@8",
            "accuracy": figure(0.5),
            "accuracy_gain": figure(0.25),
            "total_tokens": figure(80),
            "depth_tokens": figure(10),
        }
    ]
    band = {"kind": "exact", "num_problems": 2, "accuracy": figure(0.5)}
    content["instructed"] = [
        {**band, "low": 45, "high": 115, "never_trained": 2, "budget_error": figure(0.25)},
        {**band, "low": 45, "high": 45, "never_trained": 0, "response_tokens": figure(44)},
    ]
    trend = {"change": figure(9), "rank_correlation": figure(1), "rises": 0.5}
    trend["problem_rank_correlation"] = figure(0.5)
    content["curves"] = [
        {
            "kind": "effort",
            "points": [{"amount": 25, "trained": True, "response_tokens": figure(30)}],
            "trends": {"response_tokens": trend},
        }
    ]
    shown = rows(content)
    assert shown.keys() >= {
        "decided by", "asked for tokens", "all asked for percent effort", "from least to most",
    }  # fmt: skip
    gain = "0.500 [0.250, 0.750] 0.250 [0.000, 0.500]"
    assert words(shown["short-1@8"]) == f"{gain} 80.0 [79.8, 80.2] 10.0 [9.8, 10.2]"
    assert words(shown["45 to 115 (never trained)"]) == (
        "0.500 [0.250, 0.750] - 0.250 [0.000, 0.500] - -"
    )
    assert words(shown["45"]).startswith("0.500 [0.250, 0.750] 44.0")
    assert words(shown["25"]) == "- 30.0 [29.8, 30.2]"
    assert words(shown["response_tokens"]).endswith("+0.500 [+0.250, +0.750] 0.500")
