"""Oversampled steps: more groups run than a step needs, and the rest goes on in the next one.

APRIL (arXiv:2509.18521): N' > N groups run, the step is cut when N are done, and what is unfinished
is resumed first in the next step, so that nothing is sampled in vain. The stream does it with the
parts that it has: admission (`rollout.staleness.room`), the choice of a batch (`choose`), and cut
windows (`WindowedEngine.cut`). A resumed group holds tokens of several weight versions. The groups
of a step are those that were done first, which favours short ones; a long one is waited for when
its deadline, of `max_staleness`, is near.
"""

import math

ROUNDING = 1e-9
"""10 groups at a factor of 1.1 are 11, not the 12 of floating point."""


def groups_ahead(per_update: int, factor: float) -> int:
    """N' - N = ceil(f N) - N: the groups that run beside the `per_update` (N) of a step."""
    return math.ceil(per_update * factor - ROUNDING) - per_update
