"""Every option of the `correction` group against a slow reference that goes row by row."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rl.algorithms.config import (
    A3poConfig,
    CorrectionConfig,
    GeometricConfig,
    IcePopConfig,
    K3Config,
    OpsmConfig,
    SequenceMaskedConfig,
    SequenceTruncatedConfig,
    TruncatedConfig,
)
from rl.cli.options import GROUPS
from rl.learner.batch import Row, dummy_row
from rl.learner.correction import (
    CORRECTIONS,
    Weights,
    correction_weights,
    interpolated,
    weight_metrics,
)
from rl.learner.flat import flatten

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Example:
    """A row, and log-probs [T] of the policy that begins the update and of the one in training."""

    row: Row
    old: Tensor
    policy: Tensor


def example(seed: int, gap: float) -> Example:
    """One to six tokens, some of them injected, whose log-probs lie about `gap` apart."""
    random = np.random.default_rng(seed)
    length = int(random.integers(1, 7))
    sampler = -random.exponential(size=length)
    mask = random.random(length) < 0.8
    mask[0] = True
    row = Row(
        token_ids=np.zeros(length + 1, dtype=np.int32),
        prompt_length=1,
        mask=mask,
        sampler_logprobs=sampler.astype(np.float32),
        advantages=np.full(length, random.normal(), dtype=np.float32),
        ages=random.integers(0, 4, length).astype(np.int32),
    )
    old = sampler + gap * random.normal(size=length)
    policy = old + gap * random.normal(size=length)
    return Example(row, *(torch.from_numpy(values).float() for values in (old, policy)))


EXAMPLES = [example(seed, gap) for seed, gap in enumerate([0.02, 0.02, 0.05, 0.2, 0.5, 1.0, 2.0])]


def weigh(config: CorrectionConfig, examples: list[Example]) -> Weights:
    flat = flatten([e.row for e in examples], CPU)
    old, policy = torch.cat([e.old for e in examples]), torch.cat([e.policy for e in examples])
    return correction_weights(config)(flat, old, policy)


def on_trained(values: Tensor, examples: list[Example]) -> list[float]:
    mask = np.concatenate([e.row.mask for e in examples])
    return [value for value, trained in zip(values.tolist(), mask, strict=True) if trained]


Reference = Callable[[list[float], float, float], list[float]]
"""From the rho of a row's trained tokens, its advantage and mean log mu - log theta, to weights."""


def capped(rhos: list[float]) -> list[float]:
    return [min(rho, 2.0) for rho in rhos]


def nothing(rhos: list[float]) -> list[float]:
    return [0.0 for _ in rhos]


def slow_geometric(rhos: list[float], advantage: float, gap: float) -> list[float]:
    mean = math.prod(rhos) ** (1 / len(rhos))
    return capped(rhos) if 0.95 <= mean <= 1.05 else nothing(rhos)


def slow_k3(rhos: list[float], advantage: float, gap: float) -> list[float]:
    mean = sum(rho - 1 - math.log(rho) for rho in rhos) / len(rhos)
    return capped(rhos) if mean <= 0.01 else nothing(rhos)


def slow_opsm(rhos: list[float], advantage: float, gap: float) -> list[float]:
    return nothing(rhos) if advantage < 0 and gap > 0.01 else capped(rhos)


def slow_sequence_masked(rhos: list[float], advantage: float, gap: float) -> list[float]:
    product = math.prod(rhos)
    return [product if 0.5 <= product <= 2.0 else 0.0 for _ in rhos]


REFERENCES: list[tuple[CorrectionConfig, Reference]] = [
    (CorrectionConfig(), lambda rhos, advantage, gap: [1.0 for _ in rhos]),
    (TruncatedConfig(), lambda rhos, advantage, gap: capped(rhos)),
    (
        IcePopConfig(lowest=0.8, highest=1.3),
        lambda rhos, advantage, gap: [rho if 0.8 <= rho <= 1.3 else 0.0 for rho in rhos],
    ),
    (
        SequenceTruncatedConfig(cap=1.5),
        lambda rhos, advantage, gap: [min(math.prod(rhos), 1.5) for _ in rhos],
    ),
    (SequenceMaskedConfig(), slow_sequence_masked),
    (GeometricConfig(lowest=0.95, highest=1.05), slow_geometric),
    (K3Config(), slow_k3),
    (OpsmConfig(highest=0.01), slow_opsm),
    (A3poConfig(), lambda rhos, advantage, gap: capped(rhos)),
]
CONFIGS = [config for config, _ in REFERENCES]
MASKS = (IcePopConfig, SequenceMaskedConfig, GeometricConfig, K3Config, OpsmConfig)
MASKING = [config for config in CONFIGS if isinstance(config, MASKS)]


def named(config: CorrectionConfig) -> str:
    return type(config).__name__


@pytest.mark.parametrize(("config", "reference"), REFERENCES, ids=map(named, CONFIGS))
def test_weights_are_those_of_a_reference_that_goes_row_by_row(
    config: CorrectionConfig, reference: Reference
) -> None:
    expected = []
    for e in EXAMPLES:
        trained = np.flatnonzero(e.row.mask)
        sampler = [float(e.row.sampler_logprobs[t]) for t in trained]
        rhos = [math.exp(float(e.old[t]) - s) for t, s in zip(trained, sampler, strict=True)]
        gaps = [s - float(e.policy[t]) for t, s in zip(trained, sampler, strict=True)]
        expected += reference(rhos, float(e.row.advantages[0]), sum(gaps) / len(gaps))
    found = weigh(config, EXAMPLES)
    assert on_trained(found.values, EXAMPLES) == pytest.approx(expected, rel=1e-5)
    assert on_trained(found.kept, EXAMPLES) == [weight > 0 for weight in expected]
    assert not found.values.requires_grad and found.values.dtype == torch.float32


@pytest.mark.parametrize("config", MASKING, ids=named)
def test_the_examples_hold_rows_that_are_masked_and_rows_that_are_not(
    config: CorrectionConfig,
) -> None:
    assert set(on_trained(weigh(config, EXAMPLES).kept, EXAMPLES)) == {True, False}


@pytest.mark.parametrize("config", CONFIGS, ids=named)
@given(seeds=st.lists(st.integers(0, 99), min_size=1, max_size=4))
def test_on_policy_every_token_weighs_1_and_none_is_masked(
    config: CorrectionConfig, seeds: list[int]
) -> None:
    found = weigh(config, [example(seed, 0.0) for seed in seeds])
    assert found.values.tolist() == [1.0] * len(found.values)
    assert found.kept.all() and not found.capped.any()


@pytest.mark.parametrize("config", CONFIGS, ids=named)
@given(order=st.permutations(range(len(EXAMPLES))), cut=st.integers(1, len(EXAMPLES) - 1))
def test_neither_order_nor_micro_batches_matter(
    config: CorrectionConfig, order: list[int], cut: int
) -> None:
    shuffled = [EXAMPLES[i] for i in order]
    whole = dict(zip(order, by_row(weigh(config, shuffled), shuffled), strict=True))
    first, second = shuffled[:cut], shuffled[cut:]
    parts = by_row(weigh(config, first), first) + by_row(weigh(config, second), second)
    alone = by_row(weigh(config, EXAMPLES), EXAMPLES)
    for place, number in enumerate(order):
        assert whole[number] == pytest.approx(alone[number], rel=1e-5)
        assert parts[place] == pytest.approx(alone[number], rel=1e-5)


def by_row(weights: Weights, examples: list[Example]) -> list[list[float]]:
    lengths = [len(e.old) for e in examples]
    return [part.tolist() for part in weights.values.split(lengths)]


@pytest.mark.parametrize("config", CONFIGS, ids=named)
def test_injected_tokens_never_matter(config: CorrectionConfig) -> None:
    def garbled(e: Example) -> Example:
        old = e.old.where(torch.from_numpy(e.row.mask), torch.tensor(-7.0))
        return Example(e.row, old, e.policy)

    plain, spoiled = EXAMPLES, [garbled(e) for e in EXAMPLES]
    assert not all(e.row.mask.all() for e in EXAMPLES)
    ours, theirs = weigh(config, plain).values, weigh(config, spoiled).values
    assert on_trained(ours, plain) == on_trained(theirs, plain)


@pytest.mark.parametrize("config", CONFIGS, ids=named)
def test_a_rank_without_work_has_weights_too(config: CorrectionConfig) -> None:
    values, capped_tokens, kept = correction_weights(config)(
        flatten([dummy_row()], CPU), torch.tensor([-3.0]), torch.tensor([-3.0])
    )
    assert len(values) == len(capped_tokens) == len(kept) == 1


def test_metrics_tell_weight_cap_and_mask_apart() -> None:
    # Ratios 4, 1, 4; the second response is masked as a whole: its mean k3 is 3 - log 4.
    rows = [
        Row(
            token_ids=np.zeros(length + 1, dtype=np.int32),
            prompt_length=1,
            mask=np.ones(length, dtype=np.bool_),
            sampler_logprobs=np.full(length, -2, dtype=np.float32),
            advantages=np.zeros(length, dtype=np.float32),
            ages=np.zeros(length, dtype=np.int32),
        )
        for length in (2, 1)
    ]
    old = torch.tensor([-2 + math.log(4), -2.0, -2 + math.log(4)])
    weights = correction_weights(K3Config(highest=1.0))(flatten(rows, CPU), old, old)
    assert {name: values.tolist() for name, values in weight_metrics(weights).items()} == {
        "correction/weight_mean": [2.0, 1.0, 0.0],
        "correction/capped_ratio": [1.0, 0.0, 0.0],
        "correction/masked_ratio": [0.0, 0.0, 1.0],
    }


def test_the_interpolated_policy_goes_by_the_age_of_each_token() -> None:
    e = example(4, 1.0)
    found = interpolated(flatten([e.row], CPU), e.policy)
    sampler = torch.from_numpy(e.row.sampler_logprobs)
    alphas = torch.tensor([0, 0, 1 / 2, 2 / 3])[e.row.ages]
    assert found.tolist() == pytest.approx((sampler + alphas * (e.policy - sampler)).tolist())


def test_a_recipe_and_the_learner_know_the_same_corrections() -> None:
    of_recipes = {
        option.config: str(option.build).split(":")[1] for option in GROUPS["correction"].values()
    }
    assert of_recipes == {config: build.__name__ for config, build in CORRECTIONS.items()}
    assert set(map(type, CONFIGS)) == set(CORRECTIONS)
