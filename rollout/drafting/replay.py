"""Recorded outputs run through a drafter without a model: what would have been accepted.

The recorded tokens stand for the policy's. That is an upper-biased estimate of a drafter's worth,
for a policy that is sampled again leaves the record; between drafters it is a fair comparison.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from data.types import TokenIds
from rollout.drafting.acceptance import Acceptance


class Drafter(Protocol):
    """Proposes the next tokens of running requests."""

    def open(self, request: str, prompt_ids: TokenIds) -> None:
        """A new request; ids are never used twice."""
        ...

    def propose(self, requests: Sequence[str], fresh: Sequence[Sequence[int]]) -> list[list[int]]:
        """The drafts of each request, possibly none, after its `fresh` tokens were sampled."""
        ...

    def close(self, request: str) -> None:
        """The request has ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A prompt and one of its recorded outputs, token ids [P_tokens] and [T]."""

    prompt_ids: TokenIds
    token_ids: TokenIds


class Replaying:
    """A request on its way through its recorded output; `fresh` are its latest tokens."""

    def __init__(self, request: str, token_ids: list[int]) -> None:
        self.request = request
        self.fresh = token_ids[:1]
        self._rest = token_ids[1:]

    @property
    def ended(self) -> bool:
        return not self._rest

    def verify(self, draft: Sequence[int]) -> int:
        """Goes on by the draft's right tokens and one more; returns how many were right."""
        accepted = num_equal(draft, self._rest)
        self.fresh, self._rest = self._rest[: accepted + 1], self._rest[accepted + 1 :]
        return accepted


def replay(
    drafter: Drafter, recorded: Iterable[Recorded], *, num_running: int, name: str = ""
) -> Acceptance:
    """Runs the recorded outputs in order, `num_running` at once, in lockstep as an engine does.

    Request ids begin with `name`: one per epoch, where a drafter is to remember earlier ones.
    """
    acceptance = Acceptance()
    waiting = enumerate(recorded)
    running: list[Replaying] = []
    while True:
        for number, output in islice(waiting, num_running - len(running)):
            drafter.open(f"{name}/{number}", output.prompt_ids)
            running.append(Replaying(f"{name}/{number}", output.token_ids.tolist()))
        if not running:
            return acceptance
        ended: set[str] = set()
        drafts = drafter.propose([r.request for r in running], [r.fresh for r in running])
        for each, draft in zip(running, drafts, strict=True):
            if each.ended:
                drafter.close(each.request)
                ended.add(each.request)
            else:
                acceptance.count(len(draft), each.verify(draft))
        running = [each for each in running if each.request not in ended]


def num_equal(draft: Sequence[int], truth: Sequence[int]) -> int:
    """Length of the common prefix."""
    pairs = zip(draft, truth, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(draft), len(truth)))
