"""Drafters that tests load into vLLM's worker (`custom_class`): adversaries, and planted defects.

vLLM asks for drafts of every row, `propose`, and verifies what it gets. A table of drafts by a
row's whole tokens is written by the test into the file that `DRAFTS_VARIABLE` names.
"""

import importlib.util
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

DRAFTS_VARIABLE = "LACONIC_TEST_DRAFTS"
EXPAND_KERNEL = "vllm.v1.sample.rejection_sampler.expand_kernel"
LENIENCE = 1.10

Tokens = tuple[int, ...]


class TableDrafter:
    """Drafts what the table says of a row's tokens, else nothing."""

    def __init__(self, vllm_config: Any) -> None:
        rows = json.loads(Path(os.environ[DRAFTS_VARIABLE]).read_text())
        self._drafts: dict[Tokens, list[int]] = {tuple(tokens): draft for tokens, draft in rows}

    def load_model(self, *args: Any, **kwargs: Any) -> None:
        """There is none; the CPU worker asks all the same."""

    def propose(
        self,
        sampled_token_ids: Sequence[Sequence[int]],
        num_tokens_no_spec: NDArray[Any],
        token_ids_cpu: NDArray[Any],
        slot_mappings: Any = None,
    ) -> list[list[int]]:
        """A draft per row; none for a row whose prompt is still being read."""
        rows = [
            tuple(token_ids_cpu[row, : num_tokens_no_spec[row]].tolist()) if sampled else ()
            for row, sampled in enumerate(sampled_token_ids)
        ]
        for tokens in rows:
            self._see(tokens)
        return [list(self._drafts.get(tokens, ())) for tokens in rows]

    def _see(self, tokens: Tokens) -> None:
        """What a row has come to; a table does not care."""


class SiblingDrafter(TableDrafter):
    """Drafts what the row that was last at the same tokens went on with."""

    def __init__(self, vllm_config: Any) -> None:
        self._drafts = {}
        self._longest = vllm_config.speculative_config.num_speculative_tokens

    def _see(self, tokens: Tokens) -> None:
        for length in range(1, min(self._longest, len(tokens) - 1) + 1):
            self._drafts[tokens[:-length]] = list(tokens[-length:])


class LenientDrafter(TableDrafter):
    """Plants a defect: every draft is accepted with min(1, 1.1 p / q)."""

    def __init__(self, vllm_config: Any) -> None:
        super().__init__(vllm_config)
        from vllm.v1.sample import rejection_sampler

        uniform = rejection_sampler.generate_uniform_probs
        rejection_sampler.generate_uniform_probs = lambda *args: uniform(*args) / LENIENCE


class StockKernelDrafter(TableDrafter):
    """Plants a defect: the worker expands sampling options with the kernel that vLLM ships."""

    def __init__(self, vllm_config: Any) -> None:
        super().__init__(vllm_config)
        register_expand_kernel(stock_expand_kernel())


def stock_expand_kernel() -> Any:
    """vLLM's own `_expand_kernel_impl`, from a second copy of the module in which ours stands."""
    spec = importlib.util.find_spec("vllm.utils.cpu_triton_utils")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module._expand_kernel_impl


def register_expand_kernel(kernel: Any) -> None:
    from vllm.triton_utils.dispatcher import register_kernels

    with llvmlite_out_of_sight():
        register_kernels({EXPAND_KERNEL: kernel})


@contextmanager
def llvmlite_out_of_sight() -> Iterator[None]:
    """To register a kernel vLLM looks at all that modules hold, as a worker does before its first
    step; llvmlite's library, imported since, answers to every name that it is asked for.
    """
    from llvmlite.binding import ffi

    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(ffi, "lib")
        yield
