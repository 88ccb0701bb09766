import logging
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rollout.vllm.patches import (
    RELOAD_LOGGER,
    allow_partial_reload,
    expand,
    expand_problem,
    skip_empty_verification,
)


def through(kernel):
    """vLLM's `expand_batch_to_tokens` around a kernel: the output buffer is uninitialised."""

    def expand_batch_to_tokens(x, cu_num_tokens, num_tokens, replace_from, replace_to):
        output = x.new_full((num_tokens,), -7)
        kernel(output, x, cu_num_tokens, replace_from, replace_to)
        return output

    return expand_batch_to_tokens


def stock(output, input_val, cu_num_tokens, replace_from, replace_to):
    """The CPU build's kernel: what is not int64 is written into a copy."""
    expand(
        output.to(torch.int64), input_val.to(torch.int64), cu_num_tokens, replace_from, replace_to
    )


def test_warning_of_a_layer_that_was_not_sent_is_dropped_and_others_stay(caplog, monkeypatch):
    allow_partial_reload()
    logger = logging.getLogger(RELOAD_LOGGER)
    # Where vLLM was imported, its loggers hand nothing on to the root.
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "propagate", False)
    logger.warning("%s: Failed to load weights", "QKVParallelLinear")
    logger.warning("Allocating %.1f MB of device memory", 3.0)
    assert caplog.messages == ["Allocating 3.0 MB of device memory"]


def test_drafts_are_verified_only_in_a_step_that_has_some():
    runner = SimpleNamespace(_sample=lambda logits, drafts: drafts)
    skip_empty_verification(runner)
    some = SimpleNamespace(max_spec_len=2)
    assert runner._sample(None, some) is some
    assert runner._sample(None, SimpleNamespace(max_spec_len=0)) is None
    assert runner._sample(None, None) is None


def test_a_runner_that_asks_for_itself_stays_as_it_is():
    runner = SimpleNamespace(sample="its own")
    skip_empty_verification(runner)
    assert vars(runner) == {"sample": "its own"}


def test_values_are_repeated_once_per_draft_token():
    output = torch.empty(6)
    expand(output, torch.tensor([0.7, 0.2, 1.0]), torch.tensor([2, 2, 6], dtype=torch.int32), 0, 0)
    torch.testing.assert_close(output, torch.tensor([0.7, 0.7, 1.0, 1.0, 1.0, 1.0]))


def test_the_sentinel_is_mapped():
    output = torch.empty(3, dtype=torch.int32)
    expand(output, torch.tensor([0, 5], dtype=torch.int32), torch.tensor([1, 3]), 0, 1)
    assert output.tolist() == [1, 5, 5]


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=1))
def test_expansion_equals_a_loop_over_requests(requests):
    values = torch.tensor([value for value, _ in requests])
    counts = torch.tensor([count for _, count in requests])
    wanted = [9 if value == 0 else value for value, count in requests for _ in range(count)]
    got = through(expand)(values, counts.cumsum(0), int(counts.sum()), 0, 9)
    assert got.tolist() == wanted


def test_the_check_accepts_the_mended_kernel():
    assert expand_problem(through(expand)) == ""


def test_the_check_names_what_the_stock_kernel_does():
    problem = expand_problem(through(stock))
    assert "[3.0, 7.0, 0.0, 5.0] (torch.float32)" in problem and "instead of [3.0, 3.0" in problem


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_the_check_tries_every_dtype(dtype):
    def wrong_for_one(output, values, cumulative, replace_from, replace_to):
        expand(output, values, cumulative, replace_from, replace_to)
        if output.dtype == dtype:
            output[0] += 1

    assert str(dtype) in expand_problem(through(wrong_for_one))
