"""In which order waiting requests run: `Sampling.priority`, of which the lower runs first.

Orders matter only while more requests wait than the engine decodes at once. A synchronous step ends
with its last completion, so the longest should begin first; where a batch is cut or streamed, the
shortest should.
"""

TOKENS_PER_RANK = 64
"""Predicted lengths that differ by less count as equal, and run in the order of their arrival."""
CONTINUED_BAND = 2**20
"""Wider than any range of ranks: 2^20 ranks are 67 million tokens."""


def longest_first(predicted_tokens: float) -> int:
    """-round(L / 64): the priority under which long completions run first.

    Longest processing time first (Graham 1969): on m lanes the last completion ends after at most
    4/3 - 1/(3m) times the shortest possible makespan, for lengths that are known.
    """
    return -round(predicted_tokens / TOKENS_PER_RANK)


def shortest_first(predicted_tokens: float) -> int:
    """round(L / 64): the priority under which short completions run first.

    It keeps the mean waiting time least, which is right for oversampling, for rounds that are cut
    and for trainers that take groups as they come; a synchronous step it makes longer.
    """
    return round(predicted_tokens / TOKENS_PER_RANK)


def continued(priority: int) -> int:
    """The priority of a completion that goes on: before all fresh ones, in the same order.

    T-PPO (arXiv:2506.15050) and APRIL (arXiv:2509.18521) resume unfinished responses first, so that
    a long one is never starved.
    """
    return priority - CONTINUED_BAND
