"""The places where vLLM is changed from outside, each with its reason and what retires it.

`replace_expand_kernel`: the CPU build's `_expand_kernel_impl` writes into a copy of its output
buffer unless that is int64, so temperature, top-p and top-k of every draft position are read from
uninitialised memory (vLLM 0.32.0). Retired by a vLLM whose CPU kernel passes `expand_problem`.

`allow_partial_reload`: the layerwise reload warns of every layer that no new tensor came for, and
puts it back as it was (vLLM 0.32.0). Layers that did not change are not sent. Retired by a vLLM
whose reload can be told which layers come.

`skip_empty_verification`: with speculation every step goes through the rejection sampler, those
without a draft too, at two to three times the cost of sampling (vLLM 0.32.0, V1 model runner).
Retired by its V2 runner, which asks whether there is anything to verify.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from vllm.v1.outputs import SamplerOutput
    from vllm.v1.spec_decode.metadata import SpecDecodeMetadata

RELOAD_LOGGER = "vllm.model_executor.model_loader.reload.layerwise"

Expand = Callable[[Tensor, Tensor, int, int, int], Tensor]
"""vLLM's `expand_batch_to_tokens(x, cu_num_tokens, num_tokens, replace_from, replace_to)`."""


def replace_expand_kernel() -> None:
    """Puts `expand` in place of vLLM's CPU kernel, where that kernel is used at all."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.utils import cpu_triton_utils

    cpu_triton_utils._expand_kernel_impl = expand


def allow_partial_reload() -> None:
    """Drops the reload's warning; a second call changes nothing."""
    # vLLM resets the levels of its loggers, their filters stay.
    logging.getLogger(RELOAD_LOGGER).addFilter(is_not_of_kept_layer)


def is_not_of_kept_layer(record: logging.LogRecord) -> bool:
    """False for vLLM's warning of a layer that keeps its weights in a reload."""
    return not record.getMessage().endswith(": Failed to load weights")


def skip_empty_verification(runner: Any) -> None:
    """Lets vLLM's V1 `runner` sample a step in which no row has a draft as one without any.

    Its logits are then one row per request, in the requests' order, and each request's generator
    is drawn from once, as by the rejection sampler's bonus token: the same tokens. A V2 runner
    stays as it is.
    """
    if not hasattr(runner, "_sample"):
        return
    sample = runner._sample

    def sample_step(logits: Tensor, drafts: "SpecDecodeMetadata | None") -> "SamplerOutput":
        return sample(logits, drafts if drafts is not None and drafts.max_spec_len else None)

    runner._sample = sample_step


def expand(
    output: Tensor,
    input_val: Tensor,
    cu_num_tokens: Tensor,
    replace_from: float,
    replace_to: float,
    MAX_NUM_TOKENS: int | None = None,
) -> None:
    """Repeats each request's value once per draft token, into `output` in its own dtype.

    `cu_num_tokens` [requests] is the running sum of draft counts; values that equal `replace_from`
    become `replace_to`. Names and order are those of the kernel that it replaces.
    """
    counts = torch.diff(cu_num_tokens, prepend=cu_num_tokens.new_zeros(1))
    values = torch.where(input_val == replace_from, replace_to, input_val)
    output.copy_(values.to(output.dtype).repeat_interleave(counts.long()))


def expand_problem(function: Expand) -> str:
    """What is wrong with vLLM's expansion of per-request values to draft tokens; empty is right.

    Compares it with repeat-interleave for the dtypes that vLLM passes, with a sentinel that is
    absent, one that is replaced, and requests without drafts.
    """
    counts = torch.tensor([2, 0, 3, 1])
    cumulative = counts.cumsum(0).to(torch.int32)
    for dtype in (torch.float32, torch.int32, torch.int64):
        values = torch.tensor([3, 7, 0, 5], dtype=dtype)
        for replace_from, replace_to in ((0, 0), (0, 1), (-1, 1)):
            mapped = torch.where(values == replace_from, replace_to, values).to(dtype)
            got = function(values, cumulative, int(counts.sum()), replace_from, replace_to)
            wanted = mapped.repeat_interleave(counts)
            if got.dtype != dtype or not torch.equal(got, wanted):
                return (
                    f"expanding {values.tolist()} ({dtype}) to draft tokens gives {got.tolist()} "
                    f"instead of {wanted.tolist()}"
                )
    return ""
