"""What the initial policy made of each prompt, kept to be compared with"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """K answers of the initial policy to one prompt, of which the first `num_trained` are trained.

    `lengths` and `correct` [K] are of the same answers in the same order; lengths are sampled
    tokens.
    """

    lengths: tuple[int, ...]
    correct: tuple[bool, ...]
    num_trained: int

    @property
    def mean_length(self) -> float:
        return sum(self.lengths) / len(self.lengths)

    @property
    def mean_accuracy(self) -> float:
        return sum(self.correct) / len(self.correct)


References = Mapping[str, Reference]
"""By prompt id."""
