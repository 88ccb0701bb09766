"""Learning rate as a function of the optimizer step: linear warm-up, then one of three shapes."""

import math
from collections.abc import Callable

from rl.config import Schedule

SHAPES: dict[Schedule, Callable[[float], float]] = {
    Schedule.constant: lambda progress: 1.0,
    Schedule.linear: lambda progress: 1.0 - progress,
    Schedule.cosine: lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}
"""Factor of the peak rate by progress after warm-up, 0 to 1."""


def learning_rate(
    update: int, peak: float, schedule: Schedule, warmup_updates: int, num_updates: int
) -> float:
    """Rate of the `update`-th optimizer step, counted from 0, of `num_updates`.

    Warm-up rises in equal steps and reaches `peak` at its last one; no step has rate 0 before the
    end. Steps beyond `num_updates` keep the last rate.
    """
    if update < warmup_updates:
        return peak * (update + 1) / warmup_updates
    remaining = max(num_updates - warmup_updates, 1)
    progress = min((update - warmup_updates) / remaining, 1.0)
    return peak * SHAPES[schedule](progress)
