"""Log-probs and entropy of chosen tokens without a batch x length x vocabulary tensor.

The head's logits exist for `chunk` positions at a time, in the forward and again in the backward
pass, which recomputes them: peak memory is chunk x vocabulary, whatever the batch.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class TokenLogprobs(NamedTuple):
    """Natural-log probabilities of chosen tokens [N] and entropies at their positions [N], fp32."""

    logprobs: Tensor
    entropies: Tensor


class LogprobHead(nn.Module):
    """The output layer of a causal language model as log-probs of given tokens.

    It shares the model's output matrix [V, H] and owns nothing. As a module of its own it is where
    ZeRO-3 gathers that matrix, for the forward and for the backward pass.
    """

    def __init__(self, weight: nn.Parameter, temperature: float, top_p: float, chunk: int) -> None:
        super().__init__()
        self.weight = weight
        self.temperature = temperature
        self.top_p = top_p
        self.chunk = chunk

    def forward(self, hidden: Tensor, targets: Tensor) -> TokenLogprobs:
        """Log-probs of `targets` [N] given the last hidden states [N, H] at their positions."""
        logprobs, entropies = _ChunkedLogprobs.apply(
            hidden, self.weight, targets, self.temperature, self.top_p, self.chunk
        )
        return TokenLogprobs(logprobs, entropies)


def filtered_logits(logits: Tensor, targets: Tensor, temperature: float, top_p: float) -> Tensor:
    """logits / temperature, with -inf outside the nucleus: what the sampler draws from.

    `logits` [N, V]. The nucleus drops the least likely tokens whose probabilities sum to at most
    1 - top_p, as vLLM does. A target [N] is kept in any case: it was sampled, so only rounding can
    put it just outside.
    """
    scaled = logits.float() / temperature
    if top_p == 1:
        return scaled
    ascending, order = scaled.sort(dim=-1)
    dropped = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_p
    dropped[:, -1] = False
    dropped = torch.zeros_like(dropped).scatter_(1, order, dropped)
    dropped.scatter_(1, targets[:, None], False)
    return scaled.masked_fill_(dropped, -torch.inf)


def entropy_gradient(logits: Tensor) -> Tensor:
    """d H / d z = -p (log p + H) with p = softmax(z) and H = -sum p log p; logits z [N, V].

    0 where z is -inf.
    """
    chances = logits.softmax(dim=-1)
    terms: Tensor = torch.special.entr(chances)
    return terms.sub_(chances.mul_(terms.sum(dim=-1, keepdim=True)))


class _ChunkedLogprobs(torch.autograd.Function):
    """log softmax(filtered_logits(h W^T))[target] for hidden [N, H] and weight [V, H], in chunks.

    Beside it the entropy of that softmax.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        temperature: float,
        top_p: float,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        logprobs = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        entropies = torch.empty_like(logprobs)
        for part in _chunks(len(targets), chunk):
            logits = hidden[part] @ weight.T
            logits = filtered_logits(logits, targets[part], temperature, top_p)
            all_logprobs = logits.log_softmax(dim=-1)
            logprobs[part] = all_logprobs.gather(1, targets[part, None])[:, 0]
            entropies[part] = torch.special.entr(all_logprobs.exp_()).sum(dim=-1)
        ctx.save_for_backward(hidden, targets)
        # The parameter itself and not a saved tensor: ZeRO-3 empties it after the forward pass and
        # fills it again before the backward pass.
        ctx.weight = weight
        ctx.settings = (temperature, top_p, chunk)
        # An entropy that is only logged has no gradient to be computed, rather than one of zeros.
        ctx.set_materialize_grads(False)
        return logprobs, entropies

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor | None, grad_entropies: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        hidden, targets = ctx.saved_tensors
        weight = ctx.weight
        temperature, top_p, chunk = ctx.settings
        grad = torch.zeros(len(targets), device=hidden.device) if grad is None else grad
        wants_weight = ctx.needs_input_grad[1]
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros(weight.shape, device=hidden.device) if wants_weight else None
        for part in _chunks(len(targets), chunk):
            logits = hidden[part] @ weight.T
            logits = filtered_logits(logits, targets[part], temperature, top_p)
            # d logprob / d logits = (onehot(target) - softmax) / temperature
            grad_logits = logits.softmax(dim=-1).neg_()
            grad_logits.scatter_add_(1, targets[part, None], torch.ones_like(grad[part, None]))
            grad_logits *= grad[part, None] / temperature
            if grad_entropies is not None:
                scale = grad_entropies[part, None] / temperature
                grad_logits.addcmul_(scale, entropy_gradient(logits))
            narrow = grad_logits.to(hidden.dtype)
            grad_hidden[part] = narrow @ weight
            if grad_weight is not None:
                grad_weight += narrow.T @ hidden[part]
            del grad_logits, narrow  # or they would stand beside those of the next chunk
        cast = None if grad_weight is None else grad_weight.to(weight.dtype)
        return grad_hidden, cast, None, None, None, None


def _chunks(total: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]
