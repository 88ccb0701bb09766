"""A micro-batch cut along its length over a group of ranks, so that long rows fit (Ulysses).

padded rows, the same on every rank of a group -> each runs its slice of all rows through the model,
whose attention exchanges slices for heads and back -> log-probs of the tokens that its slice
predicts -> those of all slices on every rank, which compute one and the same loss.

DeepSpeed-Ulysses (arXiv:2309.14509), as ALST (arXiv:2506.13996) wraps it for transformers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from rl.learner.logprobs import TokenLogprobs
from rl.learner.model import limited_attention
from rl.learner.policy import ModelRows, Policy
from rl.learner.process_group import COLLECTIVE_TIMEOUT

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ATTENTION = "ulysses"
"""The name of the attention below among those of transformers."""

Attention = Callable[..., tuple[Tensor, Tensor | None]]


def open_sequence_group(size: int) -> dist.ProcessGroup:
    """The group of `size` neighbouring ranks that this one cuts sequences with; collective."""
    group: dist.ProcessGroup
    group, _ = dist.new_subgroups(group_size=size, timeout=COLLECTIVE_TIMEOUT)
    return group


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What one rank of a group computes of a micro-batch: l neighbouring positions of each row.

    `token_ids` and `position_ids` [B, l]. Of the N response tokens those at `indices` [n] are
    predicted here: token `targets[i]` from place `places[i]` of row `rows[i]`.
    """

    token_ids: Tensor
    position_ids: Tensor
    indices: Tensor
    rows: Tensor
    places: Tensor
    targets: Tensor


def slice_of(batch: ModelRows, rank: int, size: int) -> Slice:
    """The part of padded `batch` that is the `rank`-th of `size`, with padding to equal slices."""
    num_rows, longest = batch.token_ids.shape
    length = -(-longest // size)
    begin = rank * length
    padded = torch.nn.functional.pad(batch.token_ids, (0, size * length - longest))
    positions = torch.arange(begin, begin + length, device=padded.device)
    predicting = batch.places % longest
    indices = torch.nonzero(predicting // length == rank)[:, 0]
    return Slice(
        token_ids=padded[:, begin : begin + length],
        position_ids=positions.repeat(num_rows, 1),
        indices=indices,
        rows=batch.rows[indices],
        places=predicting[indices] - begin,
        targets=batch.targets[indices],
    )


class SlicedPolicy(Policy):
    """A policy that the ranks of `group` call together, with the same rows, each for its slice.

    All of them get all log-probs, so the loss may be any function of whole responses. A rank's
    backward pass then finds the gradient through its own slice: those of a group *add up* to the
    gradient of the group's loss. With the loss times the number of all ranks, as without groups,
    DeepSpeed's mean over all ranks is the sum over the groups.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        temperature: float,
        top_p: float,
        chunk: int,
        group: dist.ProcessGroup,
    ) -> None:
        super().__init__(model, temperature, top_p, chunk)
        self._group = group
        exchange_heads(model, group)

    def forward(self, batch: ModelRows) -> TokenLogprobs:
        """Log-probs [N] and entropies [N] at the response tokens of `batch`, on every rank."""
        group = self._group
        part = slice_of(batch, dist.get_rank(group), dist.get_world_size(group))
        hidden = self.model.base_model(
            input_ids=part.token_ids, position_ids=part.position_ids, use_cache=False
        ).last_hidden_state
        own = self.head(hidden[part.rows, part.places], part.targets)
        total = len(batch.targets)
        return TokenLogprobs(*(_Joined.apply(v, part.indices, total, group) for v in own))


class _Joined(torch.autograd.Function):
    """Values [N] of which every rank of a group has its own [n], at `indices` [n].

    Every rank derives the same loss from them, so each takes the gradient of its own values only.
    """

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, indices: Tensor, total: int, group: dist.ProcessGroup
    ) -> Tensor:
        ctx.save_for_backward(indices)
        whole = values.new_zeros(total)
        whole[indices] = values
        dist.all_reduce(whole, group=group)
        return whole

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (indices,) = ctx.saved_tensors
        return grad[indices], None, None, None


def exchange_heads(model: "PreTrainedModel", group: dist.ProcessGroup) -> None:
    """Lets every attention of `model` see whole sequences, for the heads that fall to this rank.

    Raises ValueError for models whose heads cannot be dealt out, or that attend to less than all
    that came before.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    check_heads(model, dist.get_world_size(group))
    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, exchanging(ALL_ATTENTION_FUNCTIONS["sdpa"], group))
    model.set_attn_implementation(ATTENTION)
    if model.config._attn_implementation != ATTENTION:
        raise refused(model, "its attention cannot be replaced")


def exchanging(attention: Attention, group: dist.ProcessGroup) -> Attention:
    """`attention` over whole sequences, called with slices: DeepSpeed exchanges them for heads.

    DeepSpeed's module is made for one batch size. Its own registration fixes that for a run, and
    takes over every model of the process, whether or not its sequences are cut.
    """
    from deepspeed.runtime.sequence_parallel.ulysses_sp import UlyssesSPAttentionHF

    @cache
    def exchange(batch_size: int, num_heads: int, num_kv_heads: int, head_size: int) -> Any:
        return UlyssesSPAttentionHF(
            attn=attention,
            batch_size=batch_size,
            attn_head_count=num_heads,
            attn_head_size=head_size,
            kv_head_count=num_kv_heads,
            num_hidden_layers=0,  # read by a debugging mode alone
            process_group=group,
            seq_length_is_variable=True,
        )

    def attend(
        module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any
    ) -> tuple[Tensor, Tensor | None]:
        assert mask is None, "rows are padded on the right, and a slice has no mask of its own"
        batch_size, num_heads, _, head_size = query.shape
        whole = exchange(batch_size, num_heads, key.shape[1], head_size)
        attended: tuple[Tensor, Tensor | None] = whole(module, query, key, value, None, **options)
        return attended

    return attend


def check_heads(model: "PreTrainedModel", size: int) -> None:
    """Raises ValueError where `size` ranks cannot share the attention of `model`."""
    config = model.config
    num_heads, num_kv_heads = config.num_attention_heads, config.num_key_value_heads
    if num_heads % size or (num_kv_heads % size and size % num_kv_heads):
        raise refused(
            model,
            f"its {num_heads} heads, with {num_kv_heads} of keys and values, are not dealt out "
            f"evenly to learner.sequence_parallel={size}",
        )
    if limits := limited_attention(model):
        raise refused(model, f"it does not attend to all that came before ({', '.join(limits)})")


def refused(model: "PreTrainedModel", reason: str) -> ValueError:
    """The error for a model whose sequences cannot be cut."""
    return ValueError(
        f"model.path={model.config.name_or_path}: {reason}; set learner.sequence_parallel=1"
    )
