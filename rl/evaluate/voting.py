"""Deciding between k parallel samples: majority@k, short-m@k and First Finish Search.

Computed from recorded samples, exactly: samples decode side by side, a token each per step, and
none sees another, so that a sample which is stopped after d tokens is the recorded one cut there.
Lengths then say which m end first, at which step, and what the others had spent by then. Seconds
are another matter: they depend on how many samples an engine steps at once, and are not claimed.
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl.evaluate.figures import Column, Estimate, Figures, estimate
from rl.evaluate.formulas import Floats, Indices, bootstrap_draws, resampled_ratio

NO_ANSWER = -1
"""In the place of an answer's number: the completion gives none."""

MOST_SUBSETS = 10_000
"""Ways to choose k of n samples up to which all of them are averaged over."""


class Rule(NamedTuple):
    """short-m@k: the vote of the `m` samples that finish first of `k`.

    With m = 1 it is First Finish Search, with m = k the majority of all.
    """

    m: int
    k: int

    @property
    def name(self) -> str:
        if self.k == 1:
            return "mean@1"
        return f"majority@{self.k}" if self.m == self.k else f"short-{self.m}@{self.k}"


ONE_SAMPLE = Rule(1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballots:
    """n samples of each of P problems, as a vote sees them; arrays are [P, n].

    `correct` is 1, 0, or NaN where the grader failed. `finished` is whether the sample ended by
    itself. `answers` numbers the different answers of a problem; `NO_ANSWER` is none.
    """

    problems: tuple[str, ...]
    correct: Floats
    tokens: Floats
    finished: NDArray[np.bool_]
    answers: Indices

    @property
    def samples_per_problem(self) -> int:
        return int(self.tokens.shape[1])


class Votes(NamedTuple):
    """What a vote returns and costs, all [P].

    `returned` is the index of the sample that is returned, `depth` the steps until the vote is
    called, `total` the tokens of all samples by then.
    """

    returned: Indices
    depth: Floats
    total: Floats


def short_m(tokens: Floats, finished: NDArray[np.bool_], answers: Indices, m: int) -> Votes:
    """The answer given most often by the m samples that finish first, at depth n_(m).

    short-m@k (arXiv:2505.17813); First Finish Search (arXiv:2505.18149) for m = 1; the majority of
    all for m = k. All arguments but m are [P, k]. Of answers given equally often, the one whose
    shortest sample is shorter wins; its shortest sample is returned. Samples of equal length
    finish in the order in which they were drawn, which is random.

    A sample that gives no answer counts as finished and has no vote. One that did not end by itself
    never finishes: where fewer than m do, all k run to their end and those that finished vote.
    Where nobody has a vote, the sample that ended first is returned.
    `depth` = n_(m), `total` = sum_i min(n_i, n_(m)): a sample that has finished costs nothing more.
    """
    order = np.lexsort((tokens, ~finished))[:, :m]
    ended, said = _take(finished, order), _take(answers, order)
    has_vote = ended & (said != NO_ANSWER)
    agree = (said[:, :, None] == said[:, None, :]) & has_vote[:, None, :]
    support = np.where(has_vote, agree.sum(axis=2), 0)
    # Of equal support argmax finds the first, which is the shortest.
    returned = _take(order, support.argmax(axis=1)[:, None])[:, 0]
    depth = np.where(ended.all(axis=1), _take(tokens, order)[:, -1], tokens.max(axis=1))
    return Votes(returned, depth, np.minimum(tokens, depth[:, None]).sum(axis=1))


def subsets(num_samples: int, k: int) -> Indices:
    """Which samples [S, k] to vote with: every choice of k of n, else the n // k disjoint ones.

    The mean over either is an unbiased estimate for k fresh samples; all choices vary less, and are
    taken where there are at most `MOST_SUBSETS`.
    """
    if comb(num_samples, k) <= MOST_SUBSETS:
        return np.array(list(combinations(range(num_samples), k)))
    return np.arange(num_samples // k * k).reshape(-1, k)


def decoding_columns(ballots: Ballots, rule: Rule) -> dict[str, Column]:
    """The sums behind each figure of `rule`, means over subsets.

    accuracy       share of votes that return a right sample; one without a verdict is left out
    total_tokens   tokens of all k samples together
    depth_tokens   tokens of the longest: the steps that one waits for
    """
    right, graded, depth, total = (np.zeros(len(ballots.problems)) for _ in range(4))
    chosen = subsets(ballots.samples_per_problem, rule.k)
    for subset in chosen:
        votes = short_m(
            ballots.tokens[:, subset],
            ballots.finished[:, subset],
            ballots.answers[:, subset],
            rule.m,
        )
        correct = _take(ballots.correct[:, subset], votes.returned[:, None])[:, 0]
        right += np.nan_to_num(correct)
        graded += np.isfinite(correct)
        depth += votes.depth
        total += votes.total
    ones = np.ones(len(graded))
    return {
        "accuracy": Column(right / np.maximum(graded, 1.0), np.minimum(graded, 1.0)),
        "total_tokens": Column(total / len(chosen), ones),
        "depth_tokens": Column(depth / len(chosen), ones),
    }


def decoding_figures(ballots: Ballots, rule: Rule) -> Figures:
    """The figures of `rule` and `accuracy_gain`, its accuracy less that of one sample.

    The gain is resampled in pairs. Figures of accuracy are absent without any verdict.
    """
    draws = bootstrap_draws(len(ballots.problems))
    columns, alone = decoding_columns(ballots, rule), decoding_columns(ballots, ONE_SAMPLE)
    found = {
        name: estimate(column.value, resampled_ratio(*column, draws))
        for name, column in columns.items()
        if column.denominator.any()
    }
    if "accuracy" in found:
        found["accuracy_gain"] = _gain(columns["accuracy"], alone["accuracy"], draws)
    return found


def _gain(ours: Column, alone: Column, draws: Indices) -> Estimate:
    resampled = resampled_ratio(*ours, draws) - resampled_ratio(*alone, draws)
    return estimate(ours.value - alone.value, resampled)


def _take(values: NDArray[Any], where: Indices) -> NDArray[Any]:
    return np.take_along_axis(values, where, axis=1)
