"""Groups as they come back from a rollout under a limit."""

from collections.abc import Sequence
from dataclasses import replace

from data.types import Group
from tests.rewards.groups import group


def sampled(name: str, lengths: Sequence[int], limit: int) -> Group:
    """A group of one prompt, launched under `limit`."""
    free = group(name, lengths)
    under = tuple(replace(completion, limit=limit) for completion in free.completions)
    return replace(free, completions=under)
