import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rl.learner.logprobs import LogprobHead, filtered_logits

HIDDEN, VOCABULARY = 8, 11


def naive(hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> Tensor:
    logits = (hidden @ weight.T).float() / temperature
    return logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]


def inputs(num: int, seed: int = 0) -> tuple[Tensor, nn.Parameter, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(num, HIDDEN, generator=generator, requires_grad=True)
    weight = nn.Parameter(torch.randn(VOCABULARY, HIDDEN, generator=generator))
    return hidden, weight, torch.randint(VOCABULARY, (num,), generator=generator)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 20), st.integers(1, 25), st.floats(0.3, 2.0))
def test_chunks_equal_the_whole_softmax_with_gradients(
    num: int, chunk: int, temperature: float
) -> None:
    hidden, weight, targets = inputs(num)
    upstream = torch.linspace(-1, 1, num)
    head = LogprobHead(weight, temperature, 1.0, chunk)
    result = head(hidden, targets)
    ours = torch.autograd.grad((upstream * result.logprobs).sum(), [hidden, weight])
    expected = naive(hidden, weight, targets, temperature)
    theirs = torch.autograd.grad((upstream * expected).sum(), [hidden, weight])
    torch.testing.assert_close(result.logprobs, expected)
    torch.testing.assert_close(ours[0], theirs[0])
    torch.testing.assert_close(ours[1], theirs[1], atol=1e-5, rtol=1e-5)


def test_gradient_under_a_nucleus_matches_finite_differences() -> None:
    hidden, weight, targets = inputs(6)
    hidden = hidden.detach().double().requires_grad_()
    head = LogprobHead(nn.Parameter(weight.detach().double()), 0.7, 0.9, 4)
    # The logits are taken in float32, so the differences must be coarse.
    torch.autograd.gradcheck(
        lambda h: head(h, targets).logprobs.double(), hidden, eps=1e-2, atol=2e-2, rtol=2e-2
    )


def test_entropy_is_that_of_the_sampled_distribution() -> None:
    # Logits log 4, log 2, log 1, log 1: probabilities 1/2, 1/4, 1/8, 1/8; entropy 1.75 bits.
    hidden = torch.tensor([[1.0]])
    weight = nn.Parameter(torch.tensor([[4.0], [2.0], [1.0], [1.0]]).log())
    targets = torch.tensor([0])
    everything = LogprobHead(weight, 1.0, 1.0, 5)(hidden, targets)
    assert everything.logprobs.item() == pytest.approx(math.log(1 / 2))
    assert everything.entropies.item() == pytest.approx(1.75 * math.log(2))
    # A nucleus of 0.7 keeps the first two: probabilities 2/3 and 1/3.
    nucleus = LogprobHead(weight, 1.0, 0.7, 5)(hidden, targets)
    assert nucleus.logprobs.item() == pytest.approx(math.log(2 / 3))
    entropy = math.log(3) - 2 / 3 * math.log(2)
    assert nucleus.entropies.item() == pytest.approx(entropy)
    # Half the temperature squares the odds: 16, 4, 1, 1.
    cold = LogprobHead(weight, 0.5, 1.0, 5)(hidden, targets)
    assert cold.logprobs.item() == pytest.approx(math.log(16 / 22))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 20), st.integers(1, 25), st.floats(0.3, 2.0), st.sampled_from([1.0, 0.8]))
def test_entropy_has_the_gradient_of_the_whole_softmax(
    num: int, chunk: int, temperature: float, top_p: float
) -> None:
    hidden, weight, targets = inputs(num)
    upstream, of_entropy = torch.linspace(-1, 1, num), torch.linspace(2, -1, num)
    result = LogprobHead(weight, temperature, top_p, chunk)(hidden, targets)
    objective = (upstream * result.logprobs + of_entropy * result.entropies).sum()
    ours = torch.autograd.grad(objective, [hidden, weight])
    logits = filtered_logits(hidden @ weight.T, targets, temperature, top_p)
    # Autograd makes 0 * inf of what lies outside the nucleus; -100 is as good as -inf here.
    table = logits.clamp(min=-100).log_softmax(-1)
    entropies = -(table.exp() * table).sum(-1)
    chosen = table.gather(1, targets[:, None])[:, 0]
    theirs = torch.autograd.grad(
        (upstream * chosen + of_entropy * entropies).sum(), [hidden, weight]
    )
    torch.testing.assert_close(result.entropies, entropies)
    torch.testing.assert_close(ours[0], theirs[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours[1], theirs[1], atol=2e-5, rtol=1e-5)


def test_entropy_alone_has_a_gradient() -> None:
    # Two tokens of probability p and 1 - p: dH / dz = p (1 - p) log((1 - p) / p), 0 at p = 1/2.
    hidden = torch.tensor([[1.0]], requires_grad=True)
    weight = nn.Parameter(torch.tensor([[3.0], [1.0]]).log())
    LogprobHead(weight, 1.0, 1.0, 5)(hidden, torch.tensor([0])).entropies.sum().backward()
    assert weight.grad is not None
    slope = 3 / 16 * math.log(1 / 3)
    assert weight.grad.flatten().tolist() == pytest.approx([slope, -slope])


def test_temperature_comes_before_the_nucleus() -> None:
    # At T=0.5 the probabilities are 16, 4, 1, 1 over 22, so 0.7 keeps the first alone.
    weight = nn.Parameter(torch.tensor([[4.0], [2.0], [1.0], [1.0]]).log())
    result = LogprobHead(weight, 0.5, 0.7, 5)(torch.tensor([[1.0]]), torch.tensor([0]))
    assert result.logprobs.item() == pytest.approx(0.0)


def test_sampled_token_is_kept_when_rounding_puts_it_outside_the_nucleus() -> None:
    logits = torch.tensor([[4.0, 2.0, 1.0, 1.0]]).log()
    kept = filtered_logits(logits, torch.tensor([2]), 1.0, 0.7)
    assert torch.isfinite(kept)[0].tolist() == [True, True, True, False]


def test_the_likeliest_token_survives_the_smallest_nucleus() -> None:
    kept = filtered_logits(torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([2]), 1.0, 1e-6)
    assert torch.isfinite(kept)[0].tolist() == [False, False, True]


def test_frozen_output_matrix_gets_no_gradient() -> None:
    hidden, weight, targets = inputs(5)
    weight.requires_grad_(False)
    LogprobHead(weight, 1.0, 1.0, 2)(hidden, targets).logprobs.sum().backward()
    assert weight.grad is None
    assert hidden.grad is not None


def test_matrix_shared_with_the_embedding_collects_both_gradients() -> None:
    _, weight, targets = inputs(5)
    hidden = weight[targets]
    ours = LogprobHead(weight, 1.0, 1.0, 2)(hidden, targets).logprobs.sum()
    theirs = naive(hidden, weight, targets, 1.0).sum()
    (mine,) = torch.autograd.grad(ours, weight, retain_graph=True)
    (expected,) = torch.autograd.grad(theirs, weight)
    torch.testing.assert_close(mine, expected)


def largest_allocation(num: int, chunk: int) -> int:
    """Bytes of the largest single allocation in a forward and backward pass over `num` tokens.

    The loss holds the entropy too.
    """
    vocabulary, width = 2000, 4
    hidden = torch.randn(num, width, requires_grad=True)
    head = LogprobHead(nn.Parameter(torch.randn(vocabulary, width)), 1.0, 1.0, chunk)
    targets = torch.zeros(num, dtype=torch.int64)
    with torch.profiler.profile(profile_memory=True) as profile:
        result = head(hidden, targets)
        (result.logprobs - result.entropies).sum().backward()
    return max(
        event.nbytes() if callable(event.nbytes) else event.nbytes
        for event in profile.profiler.kineto_results.events()
        if event.name() == "[memory]"
    )


def test_largest_tensor_is_a_chunk_of_logits_whatever_the_batch() -> None:
    chunk_bytes = 16 * 2000 * 4
    assert largest_allocation(256, chunk=16) == chunk_bytes
    assert largest_allocation(1024, chunk=16) == chunk_bytes
    assert largest_allocation(256, chunk=256) == 16 * chunk_bytes
