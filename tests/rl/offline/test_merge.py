"""Golden values by hand: base 1, 2, 3, 4 and tuned 1.1, 1.6, 3.3, 2.8."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.offline.merge import (
    LargestOfModel,
    kth_largest,
    largest_of_tensor,
    num_kept,
    scaled_adapter,
    scaled_update,
    selective_update,
    weighted_mean,
)

BASE, TUNED = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.1, 1.6, 3.3, 2.8])
"""Updates 0.1, -0.4, 0.3, -1.2."""


def close(tensor, values):
    assert tensor.dtype == torch.float32
    assert tensor.tolist() == pytest.approx(values, abs=1e-6)


def largest(keep):
    return lambda magnitudes: largest_of_tensor(magnitudes, keep)


@pytest.mark.parametrize(
    ("keep", "merged"),
    [
        (0.25, [1.0, 2.0, 3.0, 4 - 0.84]),
        (0.5, [1.0, 2 - 0.28, 3.0, 4 - 0.84]),
        (0.74, [1.0, 2 - 0.28, 3.0, 4 - 0.84]),
        (0.75, [1.0, 2 - 0.28, 3.21, 4 - 0.84]),
        (0.2, [1.0, 2.0, 3.0, 4.0]),
    ],
)
def test_the_largest_updates_are_added_scaled_and_the_rest_of_the_base_stays(keep, merged):
    close(selective_update(BASE, TUNED, 0.7, largest(keep)), merged)


def test_keeping_everything_at_full_scale_is_the_tuned_model():
    close(selective_update(BASE, TUNED, 1.0, largest(1.0)), TUNED.tolist())


def test_a_weighted_mean_lies_between_its_models():
    close(weighted_mean(BASE, TUNED, 0.8), [1.02, 1.92, 3.06, 3.76])
    close(weighted_mean(BASE, TUNED, 1.0), BASE.tolist())
    close(weighted_mean(BASE, TUNED, 0.0), TUNED.tolist())


@pytest.mark.parametrize(
    ("scale", "merged"),
    [
        (0.0, [1.0, 2.0, 3.0, 4.0]),
        (0.5, [1.05, 1.8, 3.15, 3.4]),
        (1.0, [1.1, 1.6, 3.3, 2.8]),
        (1.5, [1.15, 1.4, 3.45, 2.2]),
    ],
)
def test_a_scaled_update_goes_from_the_base_through_the_tuned_model_and_beyond(scale, merged):
    close(scaled_update(BASE, TUNED, scale), merged)


def test_an_adapter_adds_its_product():
    """B A of [[1], [2]] and [[3, 4]] is [[3, 4], [6, 8]]."""
    down, up = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0], [2.0]])
    merged = scaled_adapter(torch.ones(2, 2), down, up, 0.5)
    close(merged.flatten(), [2.5, 3.0, 4.0, 5.0])


def test_sums_are_taken_in_float32():
    """In bfloat16, 256 + 1 is 256."""
    one, other = torch.tensor([256.0], dtype=torch.bfloat16), torch.tensor([258.0])
    close(weighted_mean(one, other.bfloat16(), 0.5), [257.0])
    close(scaled_update(one, other.bfloat16(), 0.5), [257.0])
    close(selective_update(one, other.bfloat16(), 0.5, largest(1.0)), [257.0])
    factor = torch.tensor([[1.0]], dtype=torch.bfloat16)
    close(scaled_adapter(one.view(1, 1), factor, factor, 1.0).flatten(), [257.0])


def test_of_equal_magnitudes_the_first_stay():
    magnitudes = torch.tensor([[2.0, 1.0], [2.0, 2.0]])
    assert largest_of_tensor(magnitudes, 0.5).tolist() == [[True, False], [True, False]]


@pytest.mark.parametrize(
    ("total", "keep", "kept"), [(4, 0.25, 1), (7, 0.25, 1), (100, 0.07, 7), (3, 0.25, 0), (5, 1, 5)]
)
def test_the_number_that_is_kept_is_rounded_down(total, keep, kept):
    assert num_kept(total, keep) == kept


numbers = st.one_of(
    st.floats(0, 2.0**99, width=32), st.sampled_from([0.0, 1.0, 1.0000001, 2.0, 1e-45])
)
tensors = st.lists(st.lists(numbers, min_size=1, max_size=6), min_size=1, max_size=5)
shares = st.floats(0.0, 1.0)


def slow(values, keep):
    """Sorted by magnitude; Python's sort keeps the order of equal ones."""
    order = sorted(range(len(values)), key=lambda i: -values[i])
    kept = set(order[: num_kept(len(values), keep)])
    return [i in kept for i in range(len(values))]


@given(st.lists(numbers, min_size=1, max_size=12), shares)
def test_the_largest_of_a_tensor_are_those_of_a_sort(values, keep):
    magnitudes = torch.tensor(values)
    assert largest_of_tensor(magnitudes, keep).tolist() == slow(magnitudes.tolist(), keep)


@given(tensors, shares)
def test_the_largest_of_a_model_are_those_of_a_sort_over_all_of_it(rows, keep):
    stream = [torch.tensor(row) for row in rows]
    model = LargestOfModel(lambda: stream, keep)
    found = [kept for magnitudes in stream for kept in model(magnitudes).tolist()]
    assert found == slow(torch.cat(stream).tolist(), keep)


@given(tensors, st.data())
def test_the_kth_largest_is_that_of_a_sort_with_its_ties(rows, data):
    stream = [torch.tensor(row) for row in rows]
    ordered = sorted(torch.cat(stream).tolist(), reverse=True)
    count = data.draw(st.integers(1, len(ordered)))
    threshold, ties = kth_largest(lambda: stream, count)
    assert threshold == ordered[count - 1]
    assert ties == ordered[:count].count(threshold)
