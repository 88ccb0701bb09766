"""One token for every row of a batch: temperature, nucleus, and a draw by the row's own number."""

import torch
from torch import Tensor


def draw(
    logits: Tensor, temperatures: Tensor, top_ps: Tensor, uniforms: Tensor
) -> tuple[Tensor, Tensor]:
    """Tokens [B] and their log-probs [B] under the distributions that they are drawn from.

    `logits` [B, V]; `temperatures`, `top_ps` and `uniforms` (numbers in [0, 1)) are [B]. A row
    takes the token at which its cumulative distribution passes its uniform, so that it depends on
    no other row. Temperature 0 is the most likely token, with log-prob 0.
    """
    greedy = temperatures == 0
    scaled = logits.float() / temperatures.masked_fill(greedy, 1.0)[:, None]
    if bool((top_ps < 1).any()):
        scaled = nucleus(scaled, top_ps)
    logprobs = scaled.log_softmax(dim=-1)
    # In double precision: a sum of many small float32 chances would lose the tail.
    chances = logprobs.exp().cumsum(dim=-1, dtype=torch.float64)
    passed = (uniforms * chances[:, -1])[:, None]
    drawn = torch.searchsorted(chances, passed, right=True)[:, 0].clamp_(max=logits.shape[1] - 1)
    tokens = torch.where(greedy, scaled.argmax(dim=-1), drawn)
    chosen = logprobs.gather(1, tokens[:, None])[:, 0]
    return tokens, chosen.masked_fill(greedy, 0.0)


def nucleus(scaled: Tensor, top_ps: Tensor) -> Tensor:
    """`scaled` [B, V] with -inf on the least likely tokens that sum to at most 1 - top_p.

    The nucleus of Holtzman et al. (arXiv:1904.09751), as `rl.learner.logprobs` defines it; a row of
    top_p 1 keeps every token.
    """
    ascending, order = scaled.sort(dim=-1)
    dropped = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_ps[:, None]
    dropped[:, -1] = False
    dropped &= (top_ps < 1)[:, None]
    return scaled.masked_fill(torch.zeros_like(dropped).scatter_(1, order, dropped), -torch.inf)
