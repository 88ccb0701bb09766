"""Options of tree sampling; imports nothing heavy."""

from dataclasses import dataclass
from enum import Enum

from data.bounds import too_small


class Divergence(Enum):
    """Which paths of a tree get more of the leaves still to come."""

    even = "even"
    unlikely = "unlikely"
    likely = "likely"
    unlikely_mean = "unlikely_mean"
    likely_mean = "likely_mean"
    unlikely_segment = "unlikely_segment"
    likely_segment = "likely_segment"


class FallbackFrom(Enum):
    """Which leaves are continued when all paths have ended and leaves are missing."""

    ended = "ended"
    all = "all"
    longest = "longest"


class FallbackAt(Enum):
    """At the end of which of its segments such a leaf is cut."""

    random = "random"
    prompt = "prompt"
    unlikely = "unlikely"
    likely = "likely"


@dataclass(kw_only=True)
class TreeConfig:
    """Completions of a prompt share their first segments (TreePO, arXiv:2508.17445).

    The width of a tree is the group's size.
    """

    segment_tokens: int = 512
    """Tokens between two boundaries; a multiple of the engine's cache block (32 on the CPU, 16 on
    GPUs) lets the engine find all but the last block of what a path continues."""
    depth: int = 14
    """Segments of a completion at most; the last one runs to the limit. 1 is no tree."""
    divergence_least: int = 2
    divergence_most: int = 2
    """A path goes on as this many, drawn from least to most at every boundary."""
    first_divergence_least: int = 2
    first_divergence_most: int = 2
    """The same at the prompt; the group's size makes every completion independent."""
    divergence: Divergence = Divergence.even
    divergence_temperature: float = 1.0
    """Of the softmax over log-probs; `divergence=even` has none."""
    restart_at_once: bool = False
    """What a path leaves when it ends starts anew by the fallback, instead of going to the paths
    that run, which are the longer ones (ours; `fallback_at=prompt` biases lengths least)."""
    fallback_from: FallbackFrom = FallbackFrom.ended
    fallback_at: FallbackAt = FallbackAt.random
    stop_at_repetition: bool = True
    """End a completion in which 32 characters occur 8 times within two segments."""
    stop_at_answer: bool = False
    r"""End a completion at the boundary after a closed `\boxed{}`, as if it had stopped itself; not
    for models that box numbers while they think."""

    def problems(self) -> list[str]:
        found = too_small("rollout.tree", self, segment_tokens=1, depth=1)
        found += _range_problems("divergence", self.divergence_least, self.divergence_most)
        found += _range_problems(
            "first_divergence", self.first_divergence_least, self.first_divergence_most
        )
        if not self.divergence_temperature > 0:
            found.append(
                f"rollout.tree.divergence_temperature={self.divergence_temperature}: set it above 0"
            )
        return found


def _range_problems(name: str, least: int, most: int) -> list[str]:
    if 1 <= least <= most:
        return []
    return [
        f"rollout.tree.{name}_least={least}, rollout.tree.{name}_most={most}: "
        "set 1 <= least <= most"
    ]
