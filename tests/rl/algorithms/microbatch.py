"""Four answers of one optimizer step, and the loss that the learner makes of some of them."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from rl.algorithms.aggregation import row_weights
from rl.algorithms.table import policy_loss
from rl.config import AlgorithmConfig
from rl.learner.batch import Row, weighted
from rl.learner.flat import FlatRows, flatten
from rl.learner.logprobs import TokenLogprobs
from rl.learner.objective import summed, with_further_terms

LENGTHS = (5, 3, 7, 4)
EVERY = range(len(LENGTHS))
HORIZON = 8


def make_rows() -> list[Row]:
    """Answers whose second token is injected; two advantages are positive and two negative."""
    random = np.random.default_rng(3)
    return [
        Row(
            token_ids=np.zeros(length + 1, dtype=np.int32),
            prompt_length=1,
            mask=np.arange(length) != 1,
            sampler_logprobs=-random.exponential(size=length).astype(np.float32),
            advantages=np.full(length, random.normal(), dtype=np.float32),
            ages=np.zeros(length, np.int32),
        )
        for length in LENGTHS
    ]


ROWS = make_rows()
SAMPLER = [torch.from_numpy(row.sampler_logprobs) for row in ROWS]
OLD = [sampler - 0.05 for sampler in SAMPLER]
"""Log-probs at the start of the update."""
NEW = [old + 0.4 * torch.sin(torch.arange(len(old)) * 2.0) for old in OLD]
REFERENCE = [old - 0.1 for old in OLD]


def flat_rows(which: Sequence[int] = EVERY) -> FlatRows:
    return flatten([ROWS[i] for i in which], torch.device("cpu"))


def moved(scale: float) -> list[Tensor]:
    """`OLD` plus `scale` times the way to `NEW`."""
    return [old + scale * (new - old) for old, new in zip(OLD, NEW, strict=True)]


def loss_of(config: AlgorithmConfig, logprobs: Tensor, which: Sequence[int] = EVERY) -> Tensor:
    """The part of the loss that the rows `which` contribute, as the learner computes it."""
    weigh = row_weights(config.aggregation, HORIZON)
    rows = weighted(ROWS, weigh)
    flat = flatten([rows[i] for i in which], torch.device("cpu"))
    old = torch.cat([OLD[i] for i in which])
    reference = torch.cat([REFERENCE[i] for i in which]) if config.kl_coefficient else None
    losses = policy_loss(config)(flat, logprobs, old).losses
    policy = TokenLogprobs(logprobs, torch.zeros_like(old))
    losses, _ = with_further_terms(losses, config, flat, policy, old, reference)
    return summed(losses, config, flat, logprobs)


def gradient_of(config: AlgorithmConfig, logprobs: Sequence[Tensor]) -> Tensor:
    """d loss / d logprobs [N], every row in one micro-batch."""
    leaf = torch.cat(list(logprobs)).requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(config, leaf), leaf)
    return gradient


def gradient_row_by_row(config: AlgorithmConfig, logprobs: Sequence[Tensor]) -> Tensor:
    """The same, each row in a micro-batch of its own."""
    leaves = [each.clone().requires_grad_() for each in logprobs]
    parts = [
        torch.autograd.grad(loss_of(config, leaf, [i]), leaf)[0] for i, leaf in enumerate(leaves)
    ]
    return torch.cat(parts)


RowLoss = Callable[[Tensor, Tensor, float], Tensor]
"""From the trained tokens' log-probs [n], those at the start of the update, and A to one loss."""


def slow_loss(row_loss: RowLoss, logprobs: Sequence[Tensor]) -> Tensor:
    """The sum of `row_loss` over the answers, one at a time."""
    masks = [torch.from_numpy(row.mask) for row in ROWS]
    losses = [
        row_loss(new[mask], old[mask], float(row.advantages[0]))
        for row, new, old, mask in zip(ROWS, logprobs, OLD, masks, strict=True)
    ]
    return torch.stack(losses).sum()


def assert_is(config: AlgorithmConfig, row_loss: RowLoss, scale: float) -> None:
    """Value and gradient of the learner's loss at `moved(scale)` are those of `row_loss`."""
    leaves = [each.requires_grad_() for each in moved(scale)]
    expected = slow_loss(row_loss, leaves)
    torch.testing.assert_close(loss_of(config, torch.cat(leaves)), expected)
    gradients = torch.cat(torch.autograd.grad(expected, leaves))
    torch.testing.assert_close(gradient_of(config, moved(scale)), gradients)
