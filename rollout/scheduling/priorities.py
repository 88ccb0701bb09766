"""In which order waiting requests run: `Sampling.priority`, of which the lower runs first.

Orders matter only while more requests wait than the engine decodes at once. A synchronous step ends
with its last completion, so the longest should begin first; where a batch is cut or streamed, the
shortest should. vLLM schedules by priority; the transformers engine admits by it.
"""

from collections.abc import Callable

from rollout.config import Order

Rank = Callable[[float], int]
"""From the predicted tokens of a prompt's answers to its rank in the step, the lower first."""

TOKENS_PER_RANK = 64
"""Predicted lengths that differ by less count as equal, and run in the order of their arrival."""
RANKS_PER_STEP = 2**16
"""Half of them on either side of 0: 2 million tokens."""
CONTINUED_BAND = 2**40
"""Wider than the priorities of 16 million steps."""


def as_drawn(predicted_tokens: float) -> int:
    """0: prompts run in the order in which they were drawn."""
    return 0


def longest_first(predicted_tokens: float) -> int:
    """-round(L / 64): the rank under which long completions run first.

    Longest processing time first (Graham 1969): on m lanes the last completion ends after at most
    4/3 - 1/(3m) times the shortest possible makespan, for lengths that are known.
    """
    return -round(predicted_tokens / TOKENS_PER_RANK)


def shortest_first(predicted_tokens: float) -> int:
    """round(L / 64): the rank under which short completions run first.

    It keeps the mean waiting time least, which is right for oversampling, for rounds that are cut
    and for trainers that take groups as they come; a synchronous step it makes longer.
    """
    return round(predicted_tokens / TOKENS_PER_RANK)


RANKS: dict[Order, Rank] = {
    Order.none: as_drawn,
    Order.longest_first: longest_first,
    Order.shortest_first: shortest_first,
}


def in_step(step: int, rank: int) -> int:
    """step R + min(max(rank, -R / 2), R / 2 - 1), R = 2^16: the priority of a rank in a step.

    What an earlier step submitted runs first, since its weights grow old; ranks decide within a
    step, and the outermost stand for all beyond.
    """
    half = RANKS_PER_STEP // 2
    return step * RANKS_PER_STEP + min(max(rank, -half), half - 1)


def continued(priority: int) -> int:
    """The priority of a completion that goes on: before all fresh ones, in the same order.

    T-PPO (arXiv:2506.15050) and APRIL (arXiv:2509.18521) resume unfinished responses first, so that
    a long one is never starved.
    """
    return priority - CONTINUED_BAND
