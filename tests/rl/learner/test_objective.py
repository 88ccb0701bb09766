"""The loss of a minibatch against a slow reference that sees one token at a time."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from rl.algorithms.aggregation import sequence_mean_token_mean
from rl.algorithms.grpo import GrpoConfig
from rl.algorithms.kl import KL
from rl.algorithms.table import policy_loss
from rl.config import AlgorithmConfig, ClippedConfig, KlEstimator
from rl.learner.batch import Row, weighted, with_held_tokens, with_right_weights
from rl.learner.flat import flatten
from rl.learner.logprobs import TokenLogprobs
from rl.learner.objective import summed, with_further_terms

CPU = torch.device("cpu")
LENGTHS = (5, 3, 7, 4)
EVERYTHING = GrpoConfig(
    num_minibatches=2,
    kl_coefficient=0.1,
    kl_estimator=KlEstimator.k2,
    kl_cov_fraction=0.3,
    kl_cov_coefficient=0.7,
    entropy_coefficient=0.2,
    positive_coefficient=0.3,
)
RIGHT = {0: [0, 1, 3], 2: [0, 1, 2, 6]}
"""Rows that are right answers, with the tokens to imitate: position 1 does not train."""


def make_rows() -> list[Row]:
    random = np.random.default_rng(3)
    rows = [
        Row(
            token_ids=np.zeros(length + 1, dtype=np.int32),
            prompt_length=1,
            mask=np.arange(length) != 1,
            sampler_logprobs=-random.exponential(size=length).astype(np.float32),
            advantages=np.full(length, random.normal(), dtype=np.float32),
            ages=np.zeros(length, dtype=np.int32),
            right=np.array(RIGHT.get(number, []), dtype=np.int32),
        )
        for number, length in enumerate(LENGTHS)
    ]
    rows = with_right_weights(weighted(rows, sequence_mean_token_mean))
    return with_held_tokens(rows, EVERYTHING.kl_cov_fraction)


ROWS = make_rows()
OLD = [torch.from_numpy(row.sampler_logprobs) for row in ROWS]
NEW = [old + 0.4 * torch.sin(torch.arange(len(old)) * 2.0) for old in OLD]
REFERENCE = [old - 0.1 for old in OLD]


def entropies_of(logprobs: Tensor) -> Tensor:
    """Stands for the entropies of a policy whose log-probs these are."""
    return logprobs.square()


def loss(config: AlgorithmConfig, logprobs: Tensor, which: Sequence[int]) -> Tensor:
    """The part of the loss that the rows `which` contribute, as the learner computes it."""
    flat = flatten([ROWS[i] for i in which], CPU)
    old = torch.cat([OLD[i] for i in which])
    reference = torch.cat([REFERENCE[i] for i in which]) if config.kl_coefficient else None
    losses = policy_loss(config)(flat, logprobs, old).losses
    policy = TokenLogprobs(logprobs, entropies_of(logprobs))
    losses, _ = with_further_terms(losses, config, flat, policy, old, reference)
    return summed(losses, config, flat, logprobs)


def slow_loss(config: ClippedConfig, logprobs: Sequence[Tensor]) -> Tensor:
    total = torch.zeros(())
    for row, new, old, reference in zip(ROWS, logprobs, OLD, REFERENCE, strict=True):
        for t in range(row.response_length):
            if not row.mask[t]:
                continue
            advantage = float(row.advantages[t])
            ratio = (new[t] - old[t]).exp()
            clipped = ratio.clamp(1 - config.clip_low, 1 + config.clip_high)
            term = -torch.minimum(ratio * advantage, clipped * advantage)
            term = term + config.kl_coefficient * 0.5 * (new[t] - reference[t]) ** 2
            term = term - config.entropy_coefficient * entropies_of(new[t])
            if t in row.held:
                term = term + config.kl_cov_coefficient * (new[t] - old[t]).abs()
            total = total + row.weight * term
    imitated = [logprobs[number][t] for number, tokens in RIGHT.items() for t in tokens]
    return total - config.positive_coefficient * sum(imitated) / len(imitated)


def test_loss_and_gradient_are_those_of_one_token_at_a_time() -> None:
    fast = torch.cat(NEW).requires_grad_()
    value = loss(EVERYTHING, fast, range(4))
    slow = [new.clone().requires_grad_() for new in NEW]
    expected = slow_loss(EVERYTHING, slow)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(value, fast)
    torch.testing.assert_close(gradient, torch.cat(torch.autograd.grad(expected, slow)))
    assert sum(len(row.held) for row in ROWS) == math.floor(0.3 * (sum(LENGTHS) - 4))


def test_microbatches_do_not_change_the_gradient() -> None:
    whole = torch.cat(NEW).requires_grad_()
    loss(EVERYTHING, whole, range(4)).backward()  # type: ignore[no-untyped-call]
    parts = [new.clone().requires_grad_() for new in NEW]
    for i in (2, 0, 3, 1):
        loss(EVERYTHING, parts[i], [i]).backward()  # type: ignore[no-untyped-call]
    assert whole.grad is not None
    torch.testing.assert_close(
        torch.cat([part.grad for part in parts if part.grad is not None]), whole.grad
    )


def test_imitated_tokens_count_whether_they_train_or_not_and_others_do_not() -> None:
    # Trained: 0.25 x 1 at two of three tokens. Imitated: 0.5 x (0.5 x 1 + 0.5 x 3).
    flat = replace(
        flatten(ROWS[1:2], CPU),
        weights=torch.full((3,), 0.25),
        right_weights=torch.tensor([0.5, 0.5, 0.0]),
    )
    assert flat.mask.tolist() == [True, False, True]
    logprobs = torch.tensor([-1.0, -3.0, -torch.inf])
    config = GrpoConfig(positive_coefficient=0.5)
    assert summed(torch.ones(3), config, flat, logprobs).item() == 0.5 + 1.0
    assert summed(torch.ones(3), GrpoConfig(), flat, logprobs).item() == 0.5


def test_the_term_has_no_gradient_where_the_policy_has_not_moved() -> None:
    with_term, without = (torch.cat(OLD).requires_grad_() for _ in range(2))
    loss(EVERYTHING, with_term, range(4)).backward()  # type: ignore[no-untyped-call]
    plain = replace(EVERYTHING, kl_cov_fraction=0.0)
    loss(plain, without, range(4)).backward()  # type: ignore[no-untyped-call]
    assert with_term.grad is not None and without.grad is not None
    torch.testing.assert_close(with_term.grad, without.grad, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("config", "reported"),
    [
        (GrpoConfig(), set()),
        (GrpoConfig(entropy_coefficient=0.1), set()),  # the entropy is logged in any case
        (GrpoConfig(kl_coefficient=0.1), {"kl"}),
        (GrpoConfig(kl_cov_fraction=0.3), {"kl_cov"}),
    ],
)
def test_only_terms_that_are_asked_for_are_reported(
    config: AlgorithmConfig, reported: set[str]
) -> None:
    logprobs, old = torch.cat(NEW), torch.cat(OLD)
    reference = torch.cat(REFERENCE) if config.kl_coefficient else None
    flat, losses = flatten(ROWS, CPU), torch.zeros_like(old)
    policy = TokenLogprobs(logprobs, losses)
    _, means = with_further_terms(losses, config, flat, policy, old, reference)
    assert means.keys() == reported


def test_the_kl_term_is_added_to_the_losses_of_the_policy() -> None:
    config, flat = GrpoConfig(kl_coefficient=0.1), flatten(ROWS, CPU)
    logprobs, old, reference = torch.cat(NEW), torch.cat(OLD), torch.cat(REFERENCE)
    losses = torch.arange(len(old)) * 1.0
    policy = TokenLogprobs(logprobs, losses)
    total, means = with_further_terms(losses, config, flat, policy, old, reference)
    torch.testing.assert_close(means["kl"], KL[config.kl_estimator](logprobs, reference))
    torch.testing.assert_close(total - losses, 0.1 * means["kl"])


def test_entropy_lowers_the_loss() -> None:
    config, flat = GrpoConfig(entropy_coefficient=0.5), flatten(ROWS, CPU)
    old = torch.cat(OLD)
    entropies = torch.arange(len(old)) * 1.0
    losses = torch.ones_like(old)
    total, _ = with_further_terms(losses, config, flat, TokenLogprobs(old, entropies), old, None)
    torch.testing.assert_close(total, 1 - 0.5 * entropies)
