"""Which groups an update takes, so that none waits until its weights are too old.

Update v trains on the weights of version v. A group that was submitted when version u sampled may
serve the updates u ... u + max_staleness; the last of them is its deadline. Groups are admitted
(`room`) and taken (`choose`) so that every deadline is met: a group that ended early may overtake
an older one only while the older one can still be trained in time, so nothing is thrown away and
long answers are not lost to short ones. With `max_staleness` 0 nobody overtakes anybody.
"""

from collections.abc import Sequence


def room(per_update: int, groups_ahead: int, num_taken: int, num_open: int) -> int:
    """per_update + groups_ahead - num_taken - num_open: groups that may be submitted now.

    `num_taken` groups are in this update already, `num_open` run or are ready. With eta updates'
    worth of groups ahead it is AReaL's admission (arXiv:2505.24298, `accepted + running <
    (eta + v + 1) B`) with the v * B groups of earlier updates taken off both sides.
    """
    return max(0, per_update + groups_ahead - num_taken - num_open)


def choose(
    is_ready: Sequence[bool],
    deadlines: Sequence[int],
    num_wanted: int,
    version: int,
    per_update: int,
) -> list[int] | None:
    """Positions of the groups that update `version` takes; None while it has to wait.

    Groups are in the order of submission, so `deadlines` do not fall. The first `num_wanted` ready
    ones are taken if those that they overtake can wait; fewer when nothing runs any more.
    """
    ready = [position for position, is_so in enumerate(is_ready) if is_so]
    taken = ready[:num_wanted]
    if len(ready) == len(is_ready) or not num_wanted:
        return taken
    if len(taken) < num_wanted:
        return None
    overtaken = [deadlines[at] for at in range(taken[-1]) if not is_ready[at]]
    return taken if can_wait(overtaken, version, per_update) else None


def can_wait(deadlines: Sequence[int], version: int, per_update: int) -> bool:
    """Whether the updates after `version` can take groups of these deadlines, in order, in time.

    Each takes `per_update`, so the i-th group, from 0, comes in update version + 1 + i //
    per_update at the latest. A deadline that has passed already is nothing to wait for.
    """
    pending = [deadline for deadline in deadlines if deadline >= version]
    return all(
        version + 1 + position // per_update <= deadline
        for position, deadline in enumerate(pending)
    )
