"""What an evaluation found: every completion with its verdict, and the figures that a run logs.

A completion without a verdict (the grader failed) is counted and left out of the accuracy; it is
never wrong. Its tokens count, as do those of a truncated completion, at the limit it reached.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data.types import Completion, Prompt, Verdict
from rl.evaluate.figures import chosen_caps, columns, figures
from rl.evaluate.formulas import Floats, accuracy_efficiency_score, bootstrap_interval
from rl.evaluate.outcomes import Modes, Outcome, Outcomes, collect

LOGGED_ENDS = ("accuracy", "response_tokens")
"""Figures whose interval is logged too."""


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
    def limit(self) -> int:
        """Tokens that a completion was allowed."""
        return self.sampled[0][0].completion.limit

    @property
    def judged(self) -> list[Judged]:
        """Every sampled completion [P*k]."""
        return [judged for row in self.sampled for judged in row]

    @property
    def outcomes(self) -> Modes:
        """The completions as arrays, for the figures."""
        sampled = collect(map(_outcome, self.judged))
        return Modes(sampled, collect(map(_outcome, self.greedy)) if self.greedy else None)

    @property
    def problem_accuracies(self) -> Floats:
        """Share of right samples of each problem [P]; NaN where the grader failed on all."""
        return self.outcomes.sampled.accuracies

    @property
    def problem_tokens(self) -> Floats:
        """Mean response tokens of each problem [P]."""
        tokens: Floats = self.outcomes.sampled.tokens.mean(axis=1)
        return tokens

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
        levels = self.outcomes.sampled.by_level()
        return {name: _level_figures(outcomes) for name, outcomes in levels.items()}


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


def evaluation_metrics(evaluation: Evaluation, caps: Sequence[int] = ()) -> dict[str, float]:
    """The `eval/` metrics; what is undefined (no wrong answer, no greedy pass) is left out.

    `caps` are those of the budget curve; without any, those of `chosen_caps`.
    """
    outcomes = evaluation.outcomes.sampled
    found = figures(outcomes)
    metrics: dict[str, float | None] = {name: each.value for name, each in found.items()}
    metrics |= summary_figures(evaluation)
    for name in ("pass@1", f"avg@{evaluation.samples_per_problem}"):
        del metrics[name]  # these are the accuracy
    for name in LOGGED_ENDS:
        metrics |= {f"{name}_low": found[name].low, f"{name}_high": found[name].high}
    metrics["grader_failures"] = float(evaluation.grader_failures)
    for level, at_level in evaluation.by_level().items():
        metrics[f"level_{level}/accuracy"] = at_level.accuracy
        metrics[f"level_{level}/response_tokens"] = at_level.response_tokens
    for cap in chosen_caps(caps, evaluation.limit):
        metrics[f"cap_{cap}/accuracy"] = columns(outcomes.capped(cap))["accuracy"].value
    return {f"eval/{name}": value for name, value in metrics.items() if value is not None}


def mean_tokens(judged: Sequence[Judged]) -> float:
    """Mean sampled tokens of some completions."""
    return float(np.mean([j.completion.num_tokens for j in judged]))


def _outcome(judged: Judged) -> Outcome:
    level = judged.prompt.extra.get("level")
    return Outcome(
        problem=judged.prompt.id,
        level=None if level is None else str(level),
        correct=judged.verdict.correct,
        tokens=judged.completion.num_tokens,
        truncated=judged.completion.truncated,
    )


def _level_figures(outcomes: Outcomes) -> LevelFigures:
    accuracies = outcomes.accuracies[outcomes.graded]
    return LevelFigures(
        accuracy=float(accuracies.mean()) if len(accuracies) else None,
        response_tokens=float(outcomes.tokens.mean(axis=1).mean()),
    )
