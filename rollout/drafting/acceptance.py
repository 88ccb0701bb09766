"""How many drafted tokens the policy accepted: counts, and the rates that are read from them."""

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Acceptance:
    """Counts over verifications, one for each request and step after its first token.

    `drafted_at[j]` verifications had a draft of more than j tokens; `accepted_at[j]` of them
    accepted more than j. Beside them what was foreseen and what it took: `expected` accepted tokens
    (0 where nobody foresees), `draft_seconds`, and the `stored_tokens` that are drafted from.
    """

    verifications: int = 0
    drafted_at: list[int] = field(default_factory=list)
    accepted_at: list[int] = field(default_factory=list)
    expected: float = 0.0
    draft_seconds: float = 0.0
    stored_tokens: int = 0

    @property
    def accepted_length(self) -> float:
        """tau = 1 + accepted / verifications: tokens per step of a request, its bonus included."""
        return 1 + sum(self.accepted_at) / max(1, self.verifications)

    @property
    def expected_length(self) -> float:
        """The tau that was foreseen."""
        return 1 + self.expected / max(1, self.verifications)

    @property
    def draft_acceptance(self) -> float:
        """Accepted share of the drafted tokens."""
        return sum(self.accepted_at) / max(1, sum(self.drafted_at))

    @property
    def survival(self) -> list[float]:
        """s_j, the share of the drafts of more than j tokens that were accepted so far [K]."""
        pairs = zip(self.accepted_at, self.drafted_at, strict=True)
        return [accepted / drafted for accepted, drafted in pairs]

    @property
    def draft_length(self) -> float:
        """Drafted tokens of a verification, none counted as 0."""
        return sum(self.drafted_at) / max(1, self.verifications)

    @property
    def undrafted(self) -> float:
        """Share of the verifications that had no draft."""
        return 1 - sum(self.drafted_at[:1]) / max(1, self.verifications)

    def add(self, other: "Acceptance") -> None:
        """Counts in what `other` has counted."""
        self.verifications += other.verifications
        self.expected += other.expected
        self.draft_seconds += other.draft_seconds
        self.stored_tokens += other.stored_tokens
        self._reach(len(other.drafted_at))
        for position, (drafted, accepted) in enumerate(
            zip(other.drafted_at, other.accepted_at, strict=True)
        ):
            self.drafted_at[position] += drafted
            self.accepted_at[position] += accepted

    def count(self, drafted: int, accepted: int) -> None:
        """One verification: the first `accepted` of `drafted` tokens were right."""
        self.verifications += 1
        self._reach(drafted)
        for position in range(drafted):
            self.drafted_at[position] += 1
            self.accepted_at[position] += position < accepted

    def _reach(self, num_positions: int) -> None:
        missing = num_positions - len(self.drafted_at)
        self.drafted_at += [0] * missing
        self.accepted_at += [0] * missing
