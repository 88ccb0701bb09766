"""Which groups an update may take, so that none is ever too old to be trained on.

A group whose oldest token is of weights v has the deadline v + max_staleness: the last update that
may train on it. Groups are taken with the earliest deadline first; an update waits for a group that
could not be taken in time later.
"""

from collections.abc import Mapping


def room(version: int, num_groups: int, max_staleness: int, num_accepted: int) -> int:
    """(max_staleness + version + 1) * num_groups - accepted: groups that may start now.

    AReaL's admission (arXiv:2505.24298): `accepted` are the groups trained on since the beginning,
    those running and those ready; dropped ones do not count. With it, `may_take` is true at the
    latest when nothing runs any more.
    """
    return max(0, (max_staleness + version + 1) * num_groups - num_accepted)


def may_take(
    ready: Mapping[int, int], running: Mapping[int, int], update: int, num_groups: int
) -> bool:
    """Whether the `num_groups` ready groups with the earliest deadlines can be trained on now.

    `ready` and `running` count groups by deadline. False when too few are ready, or when some
    update u would be left with more groups of deadlines up to u than u - `update` updates take.
    """
    free, left = num_groups, 0
    for deadline in sorted({*ready, *running}):
        taken = min(free, ready.get(deadline, 0))
        free -= taken
        left += ready.get(deadline, 0) + running.get(deadline, 0) - taken
        if left > (deadline - update) * num_groups:
            return False
    return free == 0
