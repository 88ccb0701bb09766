"""When the named parts of a step ran, and for how long."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

Spans = Sequence[tuple[str, float, float]]
"""Part, start and end of each block, on the clock of `perf_counter`."""


class Stopwatch:
    """`with watch("learn"): ...` keeps in `watch.spans` when the block ran."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, float, float]] = []

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        start = perf_counter()
        try:
            yield
        finally:
            self.spans.append((part, start, perf_counter()))


def seconds_of(spans: Spans) -> dict[str, float]:
    """Wall time by part, in the order in which the parts ended first."""
    found: dict[str, float] = {}
    for part, start, end in spans:
        found[part] = found.get(part, 0.0) + end - start
    return found
