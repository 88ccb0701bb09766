import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.distributed as dist

from rl.learner.batch import Row, dummy_row
from rl.learner.diagnostics import Diagnostics
from rl.learner.flat import flatten
from rl.learner.statistics import Statistics

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def group_of_one() -> Iterator[None]:
    started = not dist.is_initialized()
    if started:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    if started:
        dist.destroy_process_group()


def test_means_and_extremes_run_over_all_microbatches() -> None:
    statistics = Statistics()
    for values, mask in (([1.0, 100.0, 3.0], [True, False, True]), ([8.0], [True])):
        value = torch.tensor(values)
        statistics.add(torch.tensor(mask), {"mean": value}, {"max": value}, {"min": value})
    assert statistics.reduce(CPU) == {"mean": 4.0, "max": 8.0, "min": 1.0}


def test_a_microbatch_without_trained_tokens_changes_nothing() -> None:
    statistics = Statistics()
    for values, mask in (([5.0], [False]), ([2.0, 4.0], [True, True])):
        value = torch.tensor(values)
        statistics.add(torch.tensor(mask), {"mean": value}, {"max": value}, {"min": value})
    assert statistics.reduce(CPU) == {"mean": 3.0, "max": 4.0, "min": 2.0}


@pytest.mark.parametrize("values", [[math.nan, 1.0], [1.0, math.nan]])
def test_one_nan_makes_a_nan_of_every_statistic_wherever_it_stands(values: list[float]) -> None:
    statistics = Statistics()
    for value in map(torch.tensor, values):
        one = value[None]
        statistics.add(torch.tensor([True]), {"mean": one}, {"max": one}, {"min": one})
    assert all(math.isnan(value) for value in statistics.reduce(CPU).values())


def row(sampler: list[float], ages: list[int] | None = None) -> Row:
    return Row(
        token_ids=np.zeros(len(sampler) + 1, dtype=np.int32),
        prompt_length=1,
        mask=np.ones(len(sampler), dtype=np.bool_),
        sampler_logprobs=np.log(np.array(sampler, dtype=np.float32)),
        advantages=np.zeros(len(sampler), dtype=np.float32),
        ages=np.array(ages or [0] * len(sampler), dtype=np.int32),
        weight=1.0,
    )


def test_gap_to_the_sampler_is_reported_per_token_and_per_row() -> None:
    # Probability ratios learner / sampler: 2 and 1 in the first row, 0.5 in the second.
    flat = flatten([row([0.25, 0.5]), row([0.5], ages=[2]), dummy_row()], CPU)
    old = torch.tensor([0.5, 0.5, 0.25, 1.0]).log()
    low, high = torch.tensor([1.0, 0, 0, 0]), torch.tensor([0, 0, 1.0, 0])
    diagnostics = Diagnostics()
    masked = torch.tensor([1.0, 0, 1.0, 0])
    means = {"clip_ratio/low_mean": low, "clip_ratio/high_mean": high}
    means["correction/masked_ratio"] = masked
    diagnostics.add(flat, means, ratio=torch.tensor([1.0, 1.1, 0.9, 5.0]), old_logprobs=old)
    found = diagnostics.reduce(CPU)
    log2 = float(np.log(2))
    expected = {
        "clip_ratio/low_mean": 1 / 3,
        "clip_ratio/low_min": 0.0,
        "clip_ratio/high_mean": 1 / 3,
        "clip_ratio/high_max": 1.0,
        "ratio/mean": 1.0,
        "ratio/max": 1.1,
        "ratio/min": 0.9,
        "sampling/sampling_logp_difference/mean": 2 * log2 / 3,
        "sampling/sampling_logp_difference/max": log2,
        "sampling/importance_sampling_ratio/mean": 3.5 / 3,
        "sampling/importance_sampling_ratio/max": 2.0,
        "sampling/importance_sampling_ratio/min": 0.5,
        "sampling/kl": 0.0,
        "sampling/k3_kl": 0.5 / 3,
        "sampling/k3_kl_fresh": (1 - log2) / 2,
        "sampling/k3_kl_stale": log2 - 0.5,
        "sampling/fresh_ratio": 2 / 3,
        "correction/masked_ratio": 2 / 3,
        "correction/masked_sequences": 1 / 2,
        "sampling/prob_difference_max": 0.25,
        "sampling/chi2_token": 5.25 / 3 - 1,
        "sampling/effective_sample_size": 3.5**2 / (3 * 5.25),
        "sampling/chi2_sequence": (4 + 0.25) / 2 - 1,
        "sampling/perplexity_ratio": (2**-0.5 + 2) / 2,
    }
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("age", "absent"), [(0, "stale"), (3, "fresh")])
def test_a_mean_over_tokens_of_an_age_that_none_has_is_left_out(age: int, absent: str) -> None:
    flat = flatten([row([0.25, 0.5], ages=[age, age])], CPU)
    nothing = torch.zeros(2)
    names = ("clip_ratio/low_mean", "clip_ratio/high_mean", "correction/masked_ratio")
    diagnostics = Diagnostics()
    diagnostics.add(flat, dict.fromkeys(names, nothing), torch.ones(2), flat.sampler_logprobs)
    found = diagnostics.reduce(CPU)
    assert f"sampling/k3_kl_{absent}" not in found
    assert found["sampling/fresh_ratio"] == float(age == 0)
    (present,) = {"sampling/k3_kl_fresh", "sampling/k3_kl_stale"} & found.keys()
    assert found[present] == found["sampling/k3_kl"] == 0
