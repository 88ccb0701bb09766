"""T(B) read off requests that ran: when they began and ended, and how many tokens they have.

Flow: records -> `admitted`, without the time that they waited for a place -> `fitted_decode`.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NUM_ROUNDS = 50
"""Each corrects the mean B of a request by the T(B) of the one before: to within a percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A request that ran in [start, end), in seconds.

    One whose `num_tokens` are 0 was seen for a part of its time only: others ran beside it, and
    nothing is known of its own pace.
    """

    start: float
    end: float
    num_tokens: int


def admitted(ran: Sequence[Ran], max_running: int) -> list[Ran]:
    """The requests from when they had one of `max_running` places, first come, first served."""
    ends: list[float] = []
    found = []
    for each in sorted(ran, key=lambda request: request.start):
        start = each.start
        if len(ends) == max_running:
            start = max(start, heapq.heappop(ends))
        heapq.heappush(ends, each.end)
        found.append(replace(each, start=min(start, each.end)))
    return found


def fitted_decode(ran: Sequence[Ran]) -> tuple[float, float]:
    """a and b, 0 or more, of T(B) = a + b B: least squares of end - start = n (a + b mean B).

    The mean is over the n steps of the request, of which a stretch of dt seconds with B running
    holds dt / T(B). Exact for an engine that decodes by such a T(B) and does nothing else, if B
    changes: of one B throughout only a + b B is known. Raises ValueError when no request is known
    from its beginning to its end.
    """
    known = [each for each in ran if each.num_tokens and each.end > each.start]
    if not known:
        raise ValueError("no request is known from its beginning to its end: nothing to fit")
    moments = np.unique([moment for each in ran for moment in (each.start, each.end)])
    spans = np.diff(moments)
    running = _running(ran, moments)
    first = np.searchsorted(moments, [each.start for each in known])
    last = np.searchsorted(moments, [each.end for each in known])
    tokens = np.array([each.num_tokens for each in known], float)
    seconds = moments[last] - moments[first]
    base, slope = 1.0, 0.0
    for _ in range(NUM_ROUNDS):
        steps = spans / (base + slope * running)
        num_steps = _between(steps, first, last)
        mean_running = _between(steps * running, first, last) / num_steps
        base, slope = _non_negative(tokens, tokens * mean_running, seconds)
    return base, slope


def _running(ran: Sequence[Ran], moments: Floats) -> Floats:
    """How many run between one moment and the next."""
    changes = np.zeros(len(moments))
    np.add.at(changes, np.searchsorted(moments, [each.start for each in ran]), 1)
    np.add.at(changes, np.searchsorted(moments, [each.end for each in ran]), -1)
    return np.cumsum(changes)[:-1]


def _between(values: Floats, first: NDArray[np.int64], last: NDArray[np.int64]) -> Floats:
    """Sums of `values` over the spans from `first` to `last`."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(sums[last] - sums[first])


def _non_negative(one: Floats, two: Floats, target: Floats) -> tuple[float, float]:
    """x and y, 0 or more, for which x `one` + y `two` is nearest to `target`; all are positive."""
    x, y = np.linalg.lstsq(np.stack([one, two], axis=1), target, rcond=None)[0].tolist()
    if x < 0:
        return 0.0, float(two @ target / (two @ two))
    if y < 0:
        return float(one @ target / (one @ one)), 0.0
    return x, y
