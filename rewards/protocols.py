"""The seams of judging and scoring: verifier, reward, gate, length term."""

from collections.abc import Sequence
from typing import Protocol

from data.types import Completion, Group, Prompt, Score, Verdict

Verdicts = Sequence[Sequence[Verdict]]
"""One verdict per completion [P][G]; when scores are computed none is a grader's failure."""


class RewardError(ValueError):
    """A user's reward or gate raised, or returned what is none; the run stops and says so."""


class Verifier(Protocol):
    """Judges one completion while others still generate."""

    async def __call__(self, prompt: Prompt, completion: Completion) -> Verdict: ...


class Reward(Protocol):
    """Scores the groups of one update, part by part."""

    def __call__(self, groups: Sequence[Group], verdicts: Verdicts) -> list[list[Score]]: ...


class Gate(Protocol):
    """Says for each group of one update whether its length term counts [P]."""

    def __call__(self, groups: Sequence[Group], verdicts: Verdicts) -> list[bool]: ...


class LengthTerm(Protocol):
    """The length part of each completion's reward, from one group's lengths and correctness [G]."""

    def __call__(self, lengths: Sequence[int], correct: Sequence[bool]) -> list[float]: ...


class GroupTerm(Protocol):
    """The length part of each completion's reward [G], from everything that is known of one group.

    For terms that need more than lengths: the limit, the truncation, the prompt and its budget.
    """

    def __call__(self, group: Group, correct: Sequence[bool]) -> list[float]: ...


class LengthTerms(Protocol):
    """The length parts [P][G] of an update from its groups and what is correct in them [P][G]."""

    def __call__(
        self, groups: Sequence[Group], correct: Sequence[Sequence[bool]]
    ) -> Sequence[Sequence[float]]: ...
