"""Dynamic sampling: which groups are worth a gradient."""

from collections.abc import Sequence

from data.types import Group, Verdict


def outcomes_differ(group: Group, verdicts: Sequence[Verdict]) -> bool:
    """0 < number of correct completions < number of judged ones.

    DAPO (arXiv:2503.14476, eq. 11). Raw correctness of one group [G], before any shaping: a group
    that is all right or all wrong is dropped. A verdict that the grader failed to give counts for
    neither side.
    """
    outcomes = {verdict.correct for verdict in verdicts}
    return True in outcomes and False in outcomes
