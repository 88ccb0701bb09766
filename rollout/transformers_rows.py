"""What the transformers engine knows of a request: waiting, in a slot of the batch, ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from data.types import Finish, LogProbs, Prompt, Span, TokenIds
from rollout.engine import Sampling


@dataclass(slots=True, eq=False)
class Job:
    """A request in the batch. `origins` are (first token, weight version), one per version.

    It leaves early when it is cancelled, which nobody waits for, or aborted, with what it has.
    """

    prompt: Prompt
    sampling: Sampling
    cancelled: bool = False
    aborted: bool = False
    origins: list[tuple[int, int]] = field(default_factory=list)

    def goes_on(self, num_tokens: int, weight_version: int) -> None:
        """Tokens after the first `num_tokens` are sampled by `weight_version`."""
        if self.origins[-1][0] == num_tokens:
            self.origins.pop()
        self.origins.append((num_tokens, weight_version))

    def spans(self, num_tokens: int) -> tuple[Span, ...]:
        """Which weights sampled which of `num_tokens` tokens."""
        bounds = [*self.origins, (num_tokens, self.origins[-1][1])]
        return tuple(
            Span(start=start, stop=stop, weight_version=version)
            for (start, version), (stop, _) in pairwise(bounds)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A job that left the batch, with the tokens [T] that were sampled for it."""

    job: Job
    token_ids: TokenIds
    logprobs: LogProbs
    finish: Finish


def never_begun(job: Job, weight_version: int) -> Ended:
    """A job that was aborted before its turn: no tokens, and one empty span."""
    job.origins = [(0, weight_version)]
    nothing = np.zeros(0)
    return Ended(
        job=job,
        token_ids=nothing.astype(np.int32),
        logprobs=nothing.astype(np.float32),
        finish=Finish.ABORTED,
    )


class Rows:
    """What the batch knows of each slot; columns are those of the clock."""

    def __init__(self, num_slots: int, max_tokens: int, device: torch.device) -> None:
        def column(dtype: torch.dtype) -> Tensor:
            return torch.zeros(num_slots, dtype=dtype, device=device)

        self.starts = column(torch.int64)
        """The first column of the prompt."""
        self.births = column(torch.int64)
        """The column of the first sampled token."""
        self.lasts = column(torch.int64)
        """The column at which the limit is reached."""
        self.temperatures = column(torch.float32)
        self.top_ps = column(torch.float32)
        self.uniforms = torch.zeros(num_slots, max_tokens, dtype=torch.float64, device=device)
        """One number in [0, 1) for every token that a row may sample."""

    def move(self, sources: Sequence[int], slots: Sequence[int]) -> None:
        for values in vars(self).values():
            values[slots] = values[sources]

    def shift(self, columns: int) -> None:
        for values in (self.starts, self.births, self.lasts):
            values += columns
