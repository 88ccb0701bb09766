"""Composition: a score is the sum of named parts, and every part is kept.

Flow: `with_length(term)` turns a formula on one group's lengths into a reward on the batch of an
update, `with_group_term(term)` one that needs more of the group; `gated(reward, gate)` takes the
length part away from the groups that the gate does not select; `with_parts` adds what the user's
functions and the format check measure.
"""

from collections.abc import Callable, Sequence

from data.types import Completion, Group, Score, Verdict
from rewards.protocols import Gate, GroupTerm, LengthTerm, Reward, Verdicts

Measure = Callable[[Completion, Verdict], dict[str, float]]
"""Parts of a score that one completion and its verdict give, by name."""
CORRECT, LENGTH = "correct", "length"


def score(correct: bool, **shaping: float) -> Score:
    """1 for a correct answer plus every shaping part, all of them kept by name."""
    parts = {CORRECT: float(correct), **shaping}
    return Score(correct=correct, parts=parts, total=sum(parts.values()))


def correctness(verdicts: Verdicts) -> list[list[bool]]:
    """The verdicts of an update as booleans [P][G]; none of them may be a grader's failure."""
    assert all(v.correct is not None for group in verdicts for v in group), (
        "failed grades are dropped"
    )
    return [[bool(v.correct) for v in group] for group in verdicts]


def with_length(term: LengthTerm) -> Reward:
    """Correctness plus a length term that is computed from each group's lengths."""
    return with_group_term(lambda group, correct: term(group.lengths, correct))


def with_group_term(term: GroupTerm) -> Reward:
    """Correctness plus a length term that is computed group by group."""

    def reward(groups: Sequence[Group], verdicts: Verdicts) -> list[list[Score]]:
        return [
            [
                score(ok, **{LENGTH: value})
                for ok, value in zip(correct, term(group, correct), strict=True)
            ]
            for group, correct in zip(groups, correctness(verdicts), strict=True)
        ]

    return reward


def gated(reward: Reward, gate: Gate) -> Reward:
    """`reward` with a length part of 0 in the groups that `gate` does not select."""

    def gated_reward(groups: Sequence[Group], verdicts: Verdicts) -> list[list[Score]]:
        return [
            scores if counts else [_without_length(s) for s in scores]
            for scores, counts in zip(reward(groups, verdicts), gate(groups, verdicts), strict=True)
        ]

    return gated_reward


def with_parts(reward: Reward, measure: Measure) -> Reward:
    """`reward`, with the further parts that `measure` finds in each completion."""

    def reward_with_parts(groups: Sequence[Group], verdicts: Verdicts) -> list[list[Score]]:
        return [
            [
                _with(scored, measure(completion, verdict))
                for scored, completion, verdict in zip(row, group.completions, judged, strict=True)
            ]
            for row, group, judged in zip(reward(groups, verdicts), groups, verdicts, strict=True)
        ]

    return reward_with_parts


def _with(scored: Score, further: dict[str, float]) -> Score:
    parts = scored.parts | further
    return Score(correct=scored.correct, parts=parts, total=scored.total + sum(further.values()))


def _without_length(scored: Score) -> Score:
    parts = {name: 0.0 if name == LENGTH else value for name, value in scored.parts.items()}
    return Score(correct=scored.correct, parts=parts, total=sum(parts.values()))
