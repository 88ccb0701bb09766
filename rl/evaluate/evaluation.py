"""What an evaluation found: every completion with its verdict, and the figures made from them.

A completion without a verdict (the grader failed) is counted and left out of the accuracy; it is
never wrong. Its tokens count, as do those of a truncated completion, at the limit it reached.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data.types import Completion, Prompt, Verdict
from rl.evaluate.formulas import (
    Floats,
    accuracy_efficiency_score,
    bootstrap_interval,
    pass_at_k,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One evaluated completion."""

    prompt: Prompt
    completion: Completion
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelFigures:
    """Sampled figures of the problems of one difficulty level."""

    accuracy: float | None
    response_tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """`sampled` [P][k] in the order of the prompts; `greedy` [P], empty when not asked for."""

    temperature: float
    sampled: tuple[tuple[Judged, ...], ...]
    greedy: tuple[Judged, ...]

    @property
    def num_problems(self) -> int:
        return len(self.sampled)

    @property
    def samples_per_problem(self) -> int:
        return len(self.sampled[0])

    @property
    def judged(self) -> list[Judged]:
        """Every sampled completion [P*k]."""
        return [judged for row in self.sampled for judged in row]

    @property
    def problem_accuracies(self) -> Floats:
        """Share of right samples of each problem [P]; NaN where the grader failed on all."""
        return np.array([_accuracy(row) for row in self.sampled])

    @property
    def problem_tokens(self) -> Floats:
        """Mean response tokens of each problem [P]."""
        return np.array([mean_tokens(row) for row in self.sampled])

    @property
    def accuracy(self) -> float:
        """pass@1: mean over samples, then over problems."""
        return float(np.nanmean(self.problem_accuracies))

    @property
    def response_tokens(self) -> float:
        return float(self.problem_tokens.mean())

    @property
    def accuracy_greedy(self) -> float | None:
        graded = [j.verdict.correct for j in self.greedy if j.verdict.correct is not None]
        return float(np.mean(graded)) if graded else None

    @property
    def response_tokens_greedy(self) -> float | None:
        return mean_tokens(self.greedy) if self.greedy else None

    @property
    def grader_failures(self) -> int:
        return sum(j.verdict.correct is None for j in [*self.judged, *self.greedy])

    @property
    def truncated(self) -> float:
        """Share of sampled completions that reached their limit."""
        return float(np.mean([j.completion.truncated for j in self.judged]))

    def by_level(self) -> dict[str, LevelFigures]:
        """Sampled figures by `prompt.extra["level"]`, in order; empty when prompts have none."""
        rows: dict[float | str, list[tuple[Judged, ...]]] = {}
        for row in self.sampled:
            if "level" in row[0].prompt.extra:
                rows.setdefault(row[0].prompt.extra["level"], []).append(row)
        return {str(level): _level_figures(rows[level]) for level in sorted(rows, key=_level_order)}


def summary_figures(evaluation: Evaluation) -> dict[str, float | None]:
    """The four figures of `summary.json` and of a row of results."""
    return {
        "accuracy": evaluation.accuracy,
        "response_tokens": evaluation.response_tokens,
        "accuracy_greedy": evaluation.accuracy_greedy,
        "response_tokens_greedy": evaluation.response_tokens_greedy,
    }


def aes(evaluation: Evaluation, base: Evaluation) -> float | None:
    """Accuracy-efficiency score of the sampled figures; None against a base that solves nothing."""
    if base.accuracy == 0:
        return None
    return accuracy_efficiency_score(
        evaluation.accuracy, evaluation.response_tokens, base.accuracy, base.response_tokens
    )


def paired_change(
    evaluation: Evaluation, base: Evaluation, of: Callable[[Evaluation], Floats]
) -> tuple[float, float, float]:
    """(change, low, high) of a per-problem figure [P] against the base on the same problems."""
    ids = [[row[0].prompt.id for row in each.sampled] for each in (evaluation, base)]
    assert ids[0] == ids[1], "a paired comparison needs the same problems in the same order"
    change = of(evaluation) - of(base)
    change = change[~np.isnan(change)]
    return (float(change.mean()), *bootstrap_interval(change))


def evaluation_metrics(evaluation: Evaluation) -> dict[str, float]:
    """The `eval/` metrics; what is undefined (no wrong answer, no greedy pass) is left out."""
    accuracies = evaluation.problem_accuracies
    accuracy_low, accuracy_high = bootstrap_interval(accuracies[~np.isnan(accuracies)])
    tokens_low, tokens_high = bootstrap_interval(evaluation.problem_tokens)
    k = evaluation.samples_per_problem
    metrics = {
        **summary_figures(evaluation),
        "accuracy_low": accuracy_low,
        "accuracy_high": accuracy_high,
        "response_tokens_low": tokens_low,
        "response_tokens_high": tokens_high,
        f"pass@{k}": _pass_at(evaluation, k),
        "correct_tokens": _tokens_of(evaluation, True),
        "wrong_tokens": _tokens_of(evaluation, False),
        "truncated": evaluation.truncated,
        "grader_failures": float(evaluation.grader_failures),
    }
    for level, figures in evaluation.by_level().items():
        metrics[f"level_{level}/accuracy"] = figures.accuracy
        metrics[f"level_{level}/response_tokens"] = figures.response_tokens
    return {f"eval/{name}": value for name, value in metrics.items() if value is not None}


def mean_tokens(judged: Sequence[Judged]) -> float:
    """Mean sampled tokens of some completions."""
    return float(np.mean([j.completion.num_tokens for j in judged]))


def _accuracy(judged: Sequence[Judged]) -> float:
    graded = [j.verdict.correct for j in judged if j.verdict.correct is not None]
    return float(np.mean(graded)) if graded else float("nan")


def _tokens_of(evaluation: Evaluation, correct: bool) -> float | None:
    chosen = [j for j in evaluation.judged if j.verdict.correct is correct]
    return mean_tokens(chosen) if chosen else None


def _pass_at(evaluation: Evaluation, k: int) -> float | None:
    """pass@k over the problems whose k samples were all graded."""
    verdicts = [[j.verdict.correct for j in row] for row in evaluation.sampled]
    chances = [pass_at_k(len(row), sum(map(bool, row)), k) for row in verdicts if None not in row]
    return float(np.mean(chances)) if chances else None


def _level_figures(rows: Sequence[Sequence[Judged]]) -> LevelFigures:
    accuracies = [a for a in (_accuracy(row) for row in rows) if not np.isnan(a)]
    return LevelFigures(
        accuracy=float(np.mean(accuracies)) if accuracies else None,
        response_tokens=float(np.mean([mean_tokens(row) for row in rows])),
    )


def _level_order(level: float | str) -> tuple[float, str]:
    """Numbers in their order, then names in theirs."""
    return (float("inf"), level) if isinstance(level, str) else (float(level), "")
