"""The loss of a minibatch against a slow reference that sees one token at a time."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from rl.algorithms.aggregation import sequence_mean_token_mean
from rl.algorithms.grpo import GrpoConfig
from rl.algorithms.kl import KL
from rl.algorithms.losses import importance_ratio
from rl.algorithms.o1_pruner import O1PrunerCodeConfig, O1PrunerConfig
from rl.config import AlgorithmConfig, KlEstimator
from rl.learner.batch import Row, weighted, with_held_tokens
from rl.learner.flat import flatten
from rl.learner.objective import policy_ratio, token_losses

CPU = torch.device("cpu")
LENGTHS = (5, 3, 7, 4)
EVERYTHING = GrpoConfig(
    num_minibatches=2,
    kl_coefficient=0.1,
    kl_estimator=KlEstimator.k2,
    kl_cov_fraction=0.3,
    kl_cov_coefficient=0.7,
)


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
        )
        for length in LENGTHS
    ]
    return with_held_tokens(weighted(rows, sequence_mean_token_mean), EVERYTHING.kl_cov_fraction)


ROWS = make_rows()
OLD = [torch.from_numpy(row.sampler_logprobs) for row in ROWS]
NEW = [old + 0.4 * torch.sin(torch.arange(len(old)) * 2.0) for old in OLD]
REFERENCE = [old - 0.1 for old in OLD]


def loss(config: AlgorithmConfig, logprobs: Tensor, which: Sequence[int]) -> Tensor:
    """The part of the loss that the rows `which` contribute, as the learner computes it."""
    flat = flatten([ROWS[i] for i in which], CPU)
    old = torch.cat([OLD[i] for i in which])
    reference = torch.cat([REFERENCE[i] for i in which]) if config.kl_coefficient else None
    ratio = importance_ratio(logprobs, old)
    weights = torch.ones_like(old)
    losses, _ = token_losses(config, flat, ratio, logprobs, old, reference, weights)
    return (flat.weights * losses.masked_fill(~flat.mask, 0.0)).sum()


def slow_loss(config: AlgorithmConfig, logprobs: Sequence[Tensor]) -> Tensor:
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
            if t in row.held:
                term = term + config.kl_cov_coefficient * (new[t] - old[t]).abs()
            total = total + row.weight * term
    return total


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


def test_the_term_has_no_gradient_where_the_policy_has_not_moved() -> None:
    with_term, without = (torch.cat(OLD).requires_grad_() for _ in range(2))
    loss(EVERYTHING, with_term, range(4)).backward()  # type: ignore[no-untyped-call]
    plain = GrpoConfig(kl_coefficient=0.1, kl_estimator=KlEstimator.k2)
    loss(plain, without, range(4)).backward()  # type: ignore[no-untyped-call]
    assert with_term.grad is not None and without.grad is not None
    torch.testing.assert_close(with_term.grad, without.grad, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("config", "reported"),
    [
        (GrpoConfig(), set()),
        (GrpoConfig(kl_coefficient=0.1), {"kl"}),
        (GrpoConfig(kl_cov_fraction=0.3), {"kl_cov"}),
    ],
)
def test_only_terms_that_are_asked_for_are_reported(
    config: AlgorithmConfig, reported: set[str]
) -> None:
    logprobs, old = torch.cat(NEW), torch.cat(OLD)
    reference = torch.cat(REFERENCE) if config.kl_coefficient else None
    ratio = importance_ratio(logprobs, old)
    flat, weights = flatten(ROWS, CPU), torch.ones_like(old)
    _, means = token_losses(config, flat, ratio, logprobs, old, reference, weights)
    assert {name for name in means if not name.startswith("clip_ratio/")} == reported


UPDATED = [old - 0.3 for old in OLD]
"""Log-probs at the start of the update, which O1-Pruner does not look at."""


def o1_pruner_loss(config: AlgorithmConfig, logprobs: Tensor, which: Sequence[int]) -> Tensor:
    """As `loss`, with the ratio that the learner takes."""
    flat = flatten([ROWS[i] for i in which], CPU)
    old = torch.cat([UPDATED[i] for i in which])
    ratio = policy_ratio(config, flat, logprobs, old)
    losses, _ = token_losses(config, flat, ratio, logprobs, old, None, torch.ones_like(old))
    return (flat.weights * losses.masked_fill(~flat.mask, 0.0)).sum()


def slow_o1_pruner_loss(config: AlgorithmConfig, logprobs: Sequence[Tensor]) -> Tensor:
    """Eq. 11, one answer at a time; the released code has the mean over tokens in the exponent."""
    total = torch.zeros(())
    for row, new in zip(ROWS, logprobs, strict=True):
        mask = torch.from_numpy(row.mask)
        log_ratios = (new - torch.from_numpy(row.sampler_logprobs))[mask]
        is_code = isinstance(config, O1PrunerCodeConfig)
        ratio = (log_ratios.mean() if is_code else log_ratios.sum()).exp()
        reward = float(row.advantages[0])
        clipped = ratio.clamp(0.8, 1.2)
        total = total - torch.minimum(ratio * reward, clipped * reward) / len(ROWS)
    return total


@pytest.mark.parametrize("config", [O1PrunerConfig(), O1PrunerCodeConfig()])
@pytest.mark.parametrize("scale", [0.0, 0.05, 1.0, -1.0])
def test_o1_pruner_is_the_clipped_surrogate_of_whole_answers(
    config: AlgorithmConfig, scale: float
) -> None:
    new = [old + scale * (moved - old) for old, moved in zip(OLD, NEW, strict=True)]
    fast = torch.cat(new).requires_grad_()
    value = o1_pruner_loss(config, fast, range(4))
    slow = [each.clone().requires_grad_() for each in new]
    expected = slow_o1_pruner_loss(config, slow)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(value, fast)
    torch.testing.assert_close(gradient, torch.cat(torch.autograd.grad(expected, slow)))


def test_o1_pruner_weighs_whole_answers_by_sum_or_by_mean() -> None:
    flat = flatten(ROWS[:1], CPU)
    logprobs = OLD[0] + torch.tensor([0.1, 9.0, 0.2, -0.1, 0.4])  # the second is not trained
    by_sum = policy_ratio(O1PrunerConfig(), flat, logprobs, UPDATED[0])
    by_mean = policy_ratio(O1PrunerCodeConfig(), flat, logprobs, UPDATED[0])
    assert by_sum.tolist() == pytest.approx([math.exp(0.6)] * 5, rel=1e-5)
    assert by_mean.tolist() == pytest.approx([math.exp(0.15)] * 5, rel=1e-5)


def test_other_algorithms_weigh_token_by_token_against_the_start_of_the_update() -> None:
    ratio = policy_ratio(GrpoConfig(), flatten(ROWS, CPU), torch.cat(NEW), torch.cat(OLD))
    torch.testing.assert_close(ratio, (torch.cat(NEW) - torch.cat(OLD)).exp())


def test_microbatches_do_not_change_the_gradient_of_o1_pruner() -> None:
    whole = torch.cat(NEW).requires_grad_()
    o1_pruner_loss(O1PrunerConfig(), whole, range(4)).backward()  # type: ignore[no-untyped-call]
    parts = [new.clone().requires_grad_() for new in NEW]
    for i in (2, 0, 3, 1):
        o1_pruner_loss(O1PrunerConfig(), parts[i], [i]).backward()  # type: ignore[no-untyped-call]
    assert whole.grad is not None
    torch.testing.assert_close(
        torch.cat([part.grad for part in parts if part.grad is not None]), whole.grad
    )


def test_importance_weights_scale_the_surrogate_and_leave_the_kl_term_alone() -> None:
    config, flat = GrpoConfig(kl_coefficient=0.1), flatten(ROWS, CPU)
    logprobs, old, reference = torch.cat(NEW), torch.cat(OLD), torch.cat(REFERENCE)
    ratio, ones = importance_ratio(logprobs, old), torch.ones_like(old)
    plain, _ = token_losses(config, flat, ratio, logprobs, old, reference, ones)
    none, _ = token_losses(config, flat, ratio, logprobs, old, reference, 0 * ones)
    half, _ = token_losses(config, flat, ratio, logprobs, old, reference, 0.5 * ones)
    torch.testing.assert_close(half - none, 0.5 * (plain - none))
    torch.testing.assert_close(none, 0.1 * KL[config.kl_estimator](logprobs, reference))
