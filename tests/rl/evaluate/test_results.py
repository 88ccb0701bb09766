import json
from pathlib import Path

import numpy as np
import pytest

from rl.evaluate.outcomes import read_outcomes
from rl.evaluate.results import (
    COMPLETIONS,
    differing_settings,
    find_results,
    read_measured,
    results,
    write_results,
)
from tests.rl.evaluate.recompute import differences, recompute
from tests.rl.evaluate.samples import random_table, stored

ABOUT = {"recipe": "quickstart", "engine": "table"}
CAPS = [4, 8, 16]


def test_every_figure_is_what_an_independent_script_makes_of_the_stored_completions(
    tmp_path: Path,
) -> None:
    """With failed graders, truncation, and a base that shares some of the problems."""
    base_answers = random_table(2, 40)
    base = stored(tmp_path / "base", dict(reversed(base_answers.items())), "before")
    measured = stored(tmp_path, random_table(1, 30), "after")
    content = results(measured, ABOUT, CAPS, base)
    write_results(tmp_path, content)
    kept = json.loads((tmp_path / "results.json").read_text())
    found = recompute(tmp_path, tmp_path / "base", kept)
    assert differences(found, kept) == []
    kept["sampled"]["accuracy"]["low"] += 1e-9
    assert len(differences(found, kept)) == 1


def test_results_have_the_documented_keys(tmp_path: Path) -> None:
    measured = stored(tmp_path, random_table(1, 6, ("4", "no")), "after")
    content = results(measured, ABOUT, CAPS, None)
    assert list(content) == [
        "format", "recipe", "engine", "model", "settings", "grader_failures", "sampled", "greedy",
        "by_level", "budget_curve", "decoding", "instructed", "curves", "base",
    ]  # fmt: skip
    assert list(content["sampled"]) == [
        "accuracy", "avg@3", "pass@1", "pass@2", "pass@3", "response_tokens", "tokens_per_correct",
        "correct_tokens", "wrong_tokens", "truncated",
    ]  # fmt: skip
    assert content["base"] is None
    assert content["decoding"] == content["instructed"] == content["curves"] == []
    assert [row["level"] for row in content["by_level"]] == ["1", "2", "3"]
    assert [row["cap"] for row in content["budget_curve"]] == CAPS


def test_the_curve_at_the_limit_is_the_accuracy(tmp_path: Path) -> None:
    content = results(stored(tmp_path, random_table(3, 9), "x"), ABOUT, CAPS, None)
    at_limit = content["budget_curve"][-1]
    assert at_limit["accuracy"] == content["sampled"]["accuracy"]
    assert at_limit["response_tokens"] == content["sampled"]["response_tokens"]


def test_an_interval_without_a_finite_end_is_null(tmp_path: Path) -> None:
    answers = {"a": [(2, "4")] * 4, "b": [(3, "no")] * 4}
    content = results(stored(tmp_path, answers, "x"), ABOUT, CAPS, None)
    assert content["sampled"]["tokens_per_correct"]["value"] == 5.0
    assert content["sampled"]["tokens_per_correct"]["high"] is None


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    measured = stored(tmp_path, random_table(1, 5), "after")
    path = write_results(tmp_path, results(measured, ABOUT, CAPS, None))
    assert find_results(str(tmp_path)) == find_results(str(path)) == path
    again = read_measured(path)
    assert (again.model, again.settings) == (measured.model, measured.settings)
    for kept, made in zip(again.modes, measured.modes, strict=True):
        assert kept is not None and made is not None
        assert kept.problems == made.problems
        assert kept.levels == made.levels
        np.testing.assert_array_equal(kept.correct, made.correct)
        np.testing.assert_array_equal(kept.tokens, made.tokens)
        np.testing.assert_array_equal(kept.truncated, made.truncated)


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"format": 7}', '{"format": 1}'])
def test_what_is_no_results_is_refused_by_name(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "results.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=r"results\.json is no results of `laconic eval`"):
        read_measured(path)


def test_results_without_their_completions_are_refused(tmp_path: Path) -> None:
    path = write_results(
        tmp_path, results(stored(tmp_path, random_table(1, 3), "x"), {}, [4], None)
    )
    (tmp_path / COMPLETIONS).write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"completions\.parquet holds no evaluated completions"):
        read_measured(path)
    (tmp_path / COMPLETIONS).unlink()
    with pytest.raises(ValueError, match=r"completions\.parquet holds no evaluated completions"):
        read_outcomes(tmp_path / COMPLETIONS)


def test_a_model_is_no_results(tmp_path: Path) -> None:
    assert find_results("org/model") is None
    assert find_results(str(tmp_path)) is None


def test_settings_that_differ_are_named(tmp_path: Path) -> None:
    ours = stored(tmp_path / "a", random_table(1, 3), "a")
    theirs = stored(tmp_path / "b", random_table(1, 3), "b")
    assert differing_settings(ours, theirs) == []
    theirs.settings["temperature"] = 0.6  # type: ignore[index]
    assert differing_settings(ours, theirs) == ["temperature: 1.0, base 0.6"]
