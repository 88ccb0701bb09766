"""What plain transformers and torch say about a vLLM's completions: the slow references."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from data.types import Completion, Prompt


def log_prob_gap(
    model: PreTrainedModel,
    answered: Sequence[tuple[Prompt, Completion]],
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> tuple[float, int]:
    """Largest |engine - reference| log-prob of the sampled tokens, and how many those were."""
    wanted = torch.cat(reference_log_probs(model, answered, temperature, top_p))
    got = torch.cat([torch.tensor(completion.logprobs.copy()) for _, completion in answered])
    return float((wanted - got).abs().max()), len(got)


def reference_log_probs(
    model: PreTrainedModel,
    answered: Sequence[tuple[Prompt, Completion]],
    temperature: float,
    top_p: float,
) -> list[Tensor]:
    """Log-probs [T] of each completion's tokens under the sampling distribution."""
    found = []
    for (prompt, completion), logits in zip(answered, forward_logits(model, answered), strict=True):
        wanted = sampling_log_probs(logits[len(prompt.token_ids) - 1 : -1], temperature, top_p)
        sampled = torch.tensor(completion.token_ids.copy(), dtype=torch.long)
        found.append(wanted.gather(-1, sampled[:, None])[:, 0])
    return found


@torch.inference_mode()
def forward_logits(
    model: PreTrainedModel, answered: Sequence[tuple[Prompt, Completion]]
) -> list[Tensor]:
    """Logits [prompt + completion, V] of each pair, by one forward pass over all of them."""
    rows = [torch.tensor([*p.token_ids.tolist(), *c.token_ids.tolist()]) for p, c in answered]
    # Padding on the right comes after every position that is read: a causal model never sees it.
    logits = model(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)).logits
    return [values[: len(row)] for row, values in zip(rows, logits, strict=True)]


def sampling_log_probs(logits: Tensor, temperature: float, top_p: float) -> Tensor:
    """log softmax(logits / T) of the fewest most likely tokens that reach `top_p`; -inf elsewhere.

    Logits [T, V]. The nucleus of Holtzman et al. (arXiv:1904.09751). Sums run from the least likely
    token up: a sum from the top rounds to 1 before the tail, which would be lost at top_p 1.
    """
    scaled = logits.double() / temperature
    probs, order = scaled.softmax(-1).sort(-1)
    kept = torch.zeros_like(probs, dtype=torch.bool).scatter(
        -1, order, probs.cumsum(-1) > 1 - top_p
    )
    return scaled.masked_fill(~kept, -torch.inf).log_softmax(-1)


def surprise(model: PreTrainedModel, answered: Sequence[tuple[Prompt, Completion]]) -> float:
    """z-score of sum(-log p(token) - H(p)) over all sampled tokens: normal if sampled from p.

    Each term has mean zero given the tokens before it, and the variance of -log p under p, so the
    sum is a martingale whatever the texts are.
    """
    total, variance = 0.0, 0.0
    for (prompt, completion), logits in zip(answered, forward_logits(model, answered), strict=True):
        logs = logits[len(prompt.token_ids) - 1 : -1].double().log_softmax(-1)
        probs = logs.exp()
        entropy = -(probs * logs).sum(-1)
        variance += float(((probs * logs**2).sum(-1) - entropy**2).sum())
        sampled = torch.tensor(completion.token_ids.copy(), dtype=torch.long)
        taken = logs.gather(-1, sampled[:, None])[:, 0]
        total += float((-taken - entropy).sum())
    return total / variance**0.5


def moved(model: PreTrainedModel, seed: int = 0, spread: float = 0.2) -> PreTrainedModel:
    """`model` with every matrix moved at random by that share of its spread, vectors by 0.1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = spread * parameter.std() if parameter.ndim > 1 else 0.1
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return model
