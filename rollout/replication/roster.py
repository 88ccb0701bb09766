"""Which replicas serve: pure decisions, without I/O and without a clock.

Flow of a replica: serving -> suspect (it is silent, or drops answers) -> serving again, or lost ->
another one starts in its place -> it serves with the next published weights. One that is lost more
often than the run puts up with is left out.
"""

from collections.abc import Sequence
from enum import StrEnum

from rollout.recovery import Need, Patience, Recovery

MOST_DROPS = 16
"""Answers that a replica may drop in a row, the engine behind them alive, before it is lost."""


class Health(StrEnum):
    """Whether a replica gets requests."""

    SERVING = "serving"
    SUSPECT = "suspect"
    """It keeps what it has; new requests go to others while there are any."""
    LOST = "lost"
    """Its requests go on elsewhere; it comes back with the next published weights."""
    LEFT_OUT = "left out"
    """Its budget of restarts is spent."""


class Roster:
    """The health of replicas, which are known by their labels. `Patience` is each one's own."""

    def __init__(self, labels: Sequence[str], patience: Patience) -> None:
        self._labels = list(labels)
        self._recoveries = [Recovery(patience) for _ in labels]
        self._suspects: set[int] = set()
        self._drops = [0] * len(self._labels)

    def health(self, replica: int) -> Health:
        need = self._recoveries[replica].need
        if need is Need.END:
            return Health.LEFT_OUT
        if need is not Need.NOTHING:
            return Health.LOST
        return Health.SUSPECT if replica in self._suspects else Health.SERVING

    def with_health(self, *healths: Health) -> list[int]:
        """The replicas whose health is one of `healths`, in order."""
        return [each for each in range(len(self._labels)) if self.health(each) in healths]

    def usable(self) -> list[int]:
        """Those that new requests may go to: the serving ones, or else the suspects."""
        return self.with_health(Health.SERVING) or self.with_health(Health.SUSPECT)

    def running(self) -> list[int]:
        """Those whose engine runs, whether or not it has the current weights."""
        needs = (Need.NOTHING, Need.WEIGHTS)
        return [i for i, recovery in enumerate(self._recoveries) if recovery.need in needs]

    def waiting(self) -> list[int]:
        """Those in whose place another one may start."""
        return [i for i, recovery in enumerate(self._recoveries) if recovery.need is Need.ENGINE]

    def incarnation(self, replica: int) -> int:
        """How often the replica has been started again."""
        return self._recoveries[replica].incarnation

    @property
    def losses(self) -> list[str]:
        """What happened to each replica, in order, after its label."""
        return [
            f"{label}: {loss}"
            for label, recovery in zip(self._labels, self._recoveries, strict=True)
            for loss in recovery.losses
        ]

    def silent(self, replica: int) -> None:
        """It has requests, and nothing has come for a while."""
        self._suspects.add(replica)

    def heard(self, replica: int) -> None:
        """Tokens come, or nothing is asked of it."""
        if not self._drops[replica]:
            self._suspects.discard(replica)

    def answered(self, replica: int) -> None:
        """A whole answer came."""
        self._drops[replica] = 0
        self._suspects.discard(replica)

    def dropped(self, replica: int) -> bool:
        """An answer was lost on its way; True when these are too many for chance."""
        self._drops[replica] += 1
        self._suspects.add(replica)
        return self._drops[replica] > MOST_DROPS

    def lost(self, replica: int, incarnation: int, now: float, what: str) -> bool:
        """It died or hung; True when that was not known yet (see `Recovery.lost`)."""
        news = self._recoveries[replica].lost(incarnation, now, what)
        if news:
            self._suspects.discard(replica)
            self._drops[replica] = 0
        return news

    def started(self, replica: int) -> None:
        """Another one is there, with weights of its own."""
        self._recoveries[replica].started()

    def not_started(self, replica: int, now: float, what: str) -> None:
        """The attempt to start another one failed, which counts as one more loss."""
        self._recoveries[replica].not_started(now, what)

    def published(self, replica: int) -> bool:
        """It has the current weights; True when it was waiting for them."""
        recovery = self._recoveries[replica]
        return recovery.published(recovery.incarnation)
