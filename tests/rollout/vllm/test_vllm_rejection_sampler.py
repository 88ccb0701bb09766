"""vLLM's verification on this machine, with our kernel, emits exactly the policy.

Every position of every case is a chi-square test against the known policy, given that the position
is reached; Holm over all of them at 1 percent is one gate. The gate must stand on what we run, and
fall on the stock kernel and on a planted lenience.
"""

import itertools

import numpy as np
import pytest
import torch

from rollout.drafting.truncated_ratio import top_part
from rollout.vllm.patches import expand
from tests.rollout.vllm import rejection_cases
from tests.rollout.vllm.exactness import binomial_range, chi_square_p_value, holm_rejects
from tests.rollout.vllm.planted_drafters import (
    llvmlite_out_of_sight,
    register_expand_kernel,
    stock_expand_kernel,
)
from tests.rollout.vllm.rejection_cases import (
    VOCABULARY,
    Case,
    emitted_counts,
    verified,
    without_speculation,
)

pytestmark = pytest.mark.engine

LEVEL = 0.01
OPTIONS = [
    {"num_drafts": 3},
    {"num_drafts": 2, "temperature": 0.3},
    {"num_drafts": 3, "temperature": 1.5},
    {"num_drafts": 0},
    {"num_drafts": 3, "top_k": 3},
    {"num_drafts": 2, "top_p": 0.7, "temperature": 1.5},
    {"num_drafts": 3, "temperature": 0.0},
    {"num_drafts": 1, "temperature": 0.3, "top_k": 5, "top_p": 0.9},
]


@pytest.fixture(scope="module", autouse=True)
def cpu_operators():
    """What a vLLM worker does before its first step, with our kernel in place."""
    from vllm.platforms import current_platform

    current_platform.import_kernels()
    with llvmlite_out_of_sight():
        current_platform.register_triton_kernel_overrides()
    register_expand_kernel(expand)


@pytest.fixture
def stock_kernel(cpu_operators):
    register_expand_kernel(stock_expand_kernel())
    yield
    register_expand_kernel(expand)


@pytest.fixture
def lenient(monkeypatch):
    """Plants a lenience: drafts are accepted with min(1, lenience * p / q)."""
    from vllm.v1.sample import rejection_sampler

    uniform = rejection_sampler.generate_uniform_probs

    def plant(lenience):
        monkeypatch.setattr(
            rejection_sampler,
            "generate_uniform_probs",
            lambda *arguments: uniform(*arguments) / lenience,
        )

    return plant


def targets(num_positions, rng):
    """A policy per position, alternately one likely token and a broad choice."""
    likely = np.array([0.92, *(0.08 * rng.dirichlet(np.full(VOCABULARY - 1, 3.0)))])
    broad = rng.dirichlet(np.full(VOCABULARY, 3.0))
    return np.array([likely if position % 2 == 0 else broad for position in range(num_positions)])


def one_hot_drafts(target, rng):
    """Always the same token: the likeliest, or in every second position any."""
    tokens = target.argmax(axis=1)
    tokens[1::2] = rng.integers(VOCABULARY, size=len(tokens[1::2]))
    return np.eye(VOCABULARY)[tokens]


def sharper(target):
    """Drafts from a distribution that likes the likely tokens more than the policy does."""
    powers = target**1.3
    return powers / powers.sum(axis=1, keepdims=True)


def cases_of(kind):
    rng = np.random.default_rng(1)
    found = []
    for options in OPTIONS:
        num_drafts = options["num_drafts"]
        sampling = {name: value for name, value in options.items() if name != "num_drafts"}
        target = targets(num_drafts + 1, rng)
        if kind == "one-hot":
            draft, known = one_hot_drafts(target[:-1], rng), None
        else:
            draft = sharper(target[:-1])
            count = VOCABULARY if kind == "full" else 3
            known = np.array([top_part(row, count) for row in draft]).reshape(-1, VOCABULARY)
        found.append(Case(target=target, draft=draft, known=known, **sampling))
    return found


def gate_falls(cases, requests_per_case, seed):
    counts = emitted_counts(cases, requests_per_case, seed)
    p_values = [
        chi_square_p_value(row, policy)
        for table, case in zip(counts, cases, strict=True)
        for row, policy in zip(table, case.policy(), strict=True)
        if row.any()
    ]
    return any(holm_rejects(p_values, LEVEL))


KINDS = pytest.mark.parametrize("kind", ["one-hot", "full", "truncated"])


@KINDS
def test_verification_emits_the_policy(kind):
    assert not gate_falls(cases_of(kind), 12_000, seed=0)


@KINDS
def test_a_lenience_of_5_percent_is_found(kind, lenient):
    lenient(1.05)
    assert gate_falls(cases_of(kind), 12_000, seed=0)


@KINDS
def test_the_stock_kernel_is_found(kind, stock_kernel):
    """Without top-k, whose garbage would be an index beyond the vocabulary: that one is raised."""
    cases = [case for case in cases_of(kind) if case.top_k == VOCABULARY]
    assert gate_falls(cases, 1_000, seed=0)


@KINDS
@pytest.mark.gates
def test_the_gate_has_the_size_and_the_power_that_it_claims(kind, lenient):
    """200 gates of 5e5 draws each on what we run, and 200 on a lenience of 1 percent."""
    cases, draws = cases_of(kind), 500_000 // len(OPTIONS)
    alarms = sum(gate_falls(cases, draws, seed) for seed in range(200))
    low, high = binomial_range(200, LEVEL, 0.99)
    assert low <= alarms <= high
    lenient(1.01)
    assert sum(gate_falls(cases, draws, seed) for seed in range(200, 400)) >= 190


def test_sampling_a_step_without_drafts_draws_the_tokens_that_verification_would():
    cases = [
        Case(target=case.target[:1], draft=case.draft[:0], temperature=case.temperature)
        for case in cases_of("one-hot")
    ]
    torch.manual_seed(0)
    wanted = verified(cases, 100)
    torch.manual_seed(0)
    np.testing.assert_array_equal(without_speculation(cases, 100), wanted)


def test_reference_truncation_is_the_samplers():
    from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p

    rng = np.random.default_rng(0)
    for top_k, top_p in itertools.product((1, 3, VOCABULARY), (0.3, 0.9, 1.0)):
        probabilities = rng.dirichlet(np.ones(VOCABULARY), size=20)
        logits = apply_top_k_top_p(
            torch.from_numpy(probabilities).log(),
            torch.full((20,), top_k),
            torch.full((20,), top_p, dtype=torch.float64),
        )
        wanted = [rejection_cases.truncated(row, top_k, top_p) for row in probabilities]
        np.testing.assert_allclose(logits.softmax(-1).numpy(), wanted, atol=1e-9)
