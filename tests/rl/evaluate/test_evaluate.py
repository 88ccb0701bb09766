import asyncio
from typing import Any

import pytest

from rl.evaluate.evaluate import evaluate, request_seed
from rl.evaluate.evaluation import (
    Evaluation,
    aes,
    evaluation_metrics,
    paired_change,
    summary_figures,
)
from rl.run.metrics import check_names
from tests.rl.builders import TableEngine, prompt, verify_text

PROMPTS = [prompt("a", level=2), prompt("b", level=10), prompt("c", level=2)]
ANSWERS = {
    "a": [(2, "4"), (4, "4"), (6, "4")],
    "b": [(3, "4"), (20, "no"), (8, "no")],
    "c": [(5, "no"), (7, "?"), (9, "?")],
}


def run(answers: dict[str, list[tuple[int, str]]] = ANSWERS, **options: Any) -> Evaluation:
    settings = {"name": "base", "limit": 16, "samples_per_problem": 2, **options}
    return asyncio.run(evaluate(TableEngine(answers), PROMPTS, verify_text, **settings))


def test_accuracy_is_the_mean_over_problems_of_the_mean_over_graded_samples() -> None:
    evaluation = run()
    assert evaluation.problem_accuracies.tolist() == [1.0, 0.5, 0.0]
    assert evaluation.accuracy == 0.5


def test_response_tokens_count_truncated_completions_at_their_limit() -> None:
    evaluation = run()
    assert evaluation.response_tokens == pytest.approx((2 + 4 + 3 + 16 + 5 + 7) / 6)
    assert evaluation.truncated == pytest.approx(1 / 6)


def test_a_failed_grader_is_counted_and_leaves_the_accuracy() -> None:
    evaluation = run()
    assert evaluation.grader_failures == 2
    assert evaluation.accuracy_greedy == 0.5
    assert evaluation.response_tokens_greedy == pytest.approx((6 + 8 + 9) / 3)


def test_levels_are_ordered_as_numbers() -> None:
    levels = run().by_level()
    assert list(levels) == ["2", "10"]
    assert levels["2"].accuracy == 0.5
    assert levels["2"].response_tokens == pytest.approx(4.5)
    assert levels["10"].accuracy == 0.5


def test_metrics_are_listed_and_omit_what_is_undefined() -> None:
    metrics = evaluation_metrics(run())
    check_names(metrics)
    assert metrics["eval/pass@2"] == 1.0  # of the two problems whose samples were all graded
    assert metrics["eval/correct_tokens"] == pytest.approx((2 + 4 + 3) / 3)
    assert metrics["eval/wrong_tokens"] == pytest.approx((16 + 5) / 2)
    all_right = evaluation_metrics(run({name: [(2, "4")] * 3 for name in "abc"}, greedy=False))
    assert "eval/wrong_tokens" not in all_right
    assert "eval/accuracy_greedy" not in all_right


def test_all_requests_are_submitted_at_once() -> None:
    engine = TableEngine(ANSWERS)
    asyncio.run(evaluate(engine, PROMPTS, verify_text, name="x", limit=9, samples_per_problem=2))
    assert engine.most_at_once == 9
    assert {s.limit for _, s in engine.requests} == {9}
    assert len({s.id for _, s in engine.requests}) == 9


def test_greedy_requests_have_temperature_zero_and_the_others_the_given_one() -> None:
    engine = TableEngine(ANSWERS)
    settings = {"limit": 9, "samples_per_problem": 2, "temperature": 0.7, "top_p": 0.95}
    asyncio.run(evaluate(engine, PROMPTS, verify_text, name="x", **settings))
    by_kind = {s.id.endswith("greedy"): (s.temperature, s.top_p) for _, s in engine.requests}
    assert by_kind == {True: (0.0, 1.0), False: (0.7, 0.95)}


def test_seeds_differ_between_samples_and_agree_between_evaluations() -> None:
    seeds = []
    for name in ("base", "final"):
        engine = TableEngine(ANSWERS)
        asyncio.run(
            evaluate(engine, PROMPTS, verify_text, name=name, limit=9, samples_per_problem=2)
        )
        seeds.append([s.seed for _, s in engine.requests if s.temperature])
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 6
    assert request_seed(0, "a", 0) != request_seed(1, "a", 0)


def test_an_engine_failure_ends_the_evaluation_with_that_failure() -> None:
    class Broken(TableEngine):
        async def sample(self, prompt: Any, sampling: Any) -> Any:
            if sampling.id == "eval/base/1/0":
                raise ConnectionError("gone")
            await asyncio.sleep(3600)

    with pytest.raises(ConnectionError, match="gone"):
        asyncio.run(
            evaluate(Broken({}), PROMPTS, verify_text, name="base", limit=9, samples_per_problem=2)
        )


def test_a_grader_that_fails_everywhere_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"grader failed on all 6 completions.*timeout"):
        run({name: [(2, "?")] * 3 for name in "abc"})


def test_nothing_to_evaluate_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 problems"):
        asyncio.run(
            evaluate(TableEngine({}), [], verify_text, name="x", limit=9, samples_per_problem=2)
        )


def test_summary_and_aes_compare_the_sampled_figures() -> None:
    base = run()
    final = run({name: [(2, "4")] * 3 for name in "abc"})
    assert summary_figures(final) == {
        "accuracy": 1.0,
        "response_tokens": 2.0,
        "accuracy_greedy": 1.0,
        "response_tokens_greedy": 2.0,
    }
    saved = 1 - 2 / base.response_tokens
    assert aes(final, base) == pytest.approx(saved + 3 * 1.0)


def test_paired_change_leaves_out_problems_without_a_verdict() -> None:
    base = run({**ANSWERS, "c": [(5, "?"), (7, "?"), (9, "?")]})
    final = run({name: [(2, "4")] * 3 for name in "abc"})
    change, low, high = paired_change(final, base, lambda e: e.problem_accuracies)
    assert change == pytest.approx((0.0 + 0.5) / 2)
    assert low <= change <= high
