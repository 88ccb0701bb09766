"""The policy as the learner calls it: rows in, log-probs of their response tokens out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rl.learner.batch import Row, TokenRow
from rl.learner.gradient_norms import output_gradient_norms
from rl.learner.logprobs import LogprobHead, TokenLogprobs
from rl.learner.prefix_forest import block_mask, dense_mask, prefix_forest

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRows:
    """Rows of one micro-batch as a model reads them: `token_ids` [S, L], S sequences of L tokens.

    The N response tokens of all rows follow each other in the flat tensors: token `targets[i]` of
    row `rows[i]` is predicted at `places[i]`, an index into the S * L tokens. Of a prefix forest,
    which is one sequence, `depths` [1, L] and `last` [L] are as there; without one, a token's
    position is its index and it attends to all before it.
    """

    token_ids: Tensor
    rows: Tensor
    places: Tensor
    targets: Tensor
    depths: Tensor | None = None
    last: Tensor | None = None


Arrange = Callable[[Sequence[Row], torch.device], ModelRows]
"""From rows to what the model reads: `pad_rows` or `share_prefixes`."""


def pad_rows(rows: Sequence[Row], device: torch.device) -> ModelRows:
    """One sequence per row, padded on the right to the longest."""
    token_ids = padded_ids(rows)
    longest = token_ids.shape[1]
    places = [
        number * longest + np.arange(row.prompt_length - 1, row.num_tokens - 1)
        for number, row in enumerate(rows)
    ]
    return model_rows(rows, places, device, token_ids=token_ids)


def share_prefixes(rows: Sequence[Row], device: torch.device) -> ModelRows:
    """One sequence without padding, in which each distinct prefix stands once."""
    forest = prefix_forest([row.token_ids for row in rows])
    places = [
        path[row.prompt_length - 1 : -1] for row, path in zip(rows, forest.paths, strict=True)
    ]
    return model_rows(
        rows, places, device,
        token_ids=forest.token_ids[None], depths=forest.depths[None], last=forest.last,
    )  # fmt: skip


def model_rows(
    rows: Sequence[Row],
    places: Sequence[NDArray[np.int64]],
    device: torch.device,
    **sequences: NDArray[np.int64],
) -> ModelRows:
    """`rows` in `sequences`, the response tokens of each predicted at its `places` [T]."""
    targets = [row.token_ids[row.prompt_length :] for row in rows]
    arrays = sequences | {
        "rows": np.repeat(np.arange(len(rows)), [row.response_length for row in rows]),
        "places": np.concatenate(places),
        "targets": np.concatenate(targets).astype(np.int64),
    }
    return ModelRows(**{name: torch.from_numpy(a).to(device) for name, a in arrays.items()})


def padded_ids(rows: Sequence[TokenRow]) -> NDArray[np.int64]:
    """Prompt and response of every row, padded on the right to the longest [B, L]."""
    token_ids = np.zeros((len(rows), max(row.num_tokens for row in rows)), dtype=np.int64)
    for number, row in enumerate(rows):
        token_ids[number, : row.num_tokens] = row.token_ids
    return token_ids


class Policy(nn.Module):
    """A causal language model from transformers, called for log-probs of response tokens.

    Where rows are padded, they are on the right, so a causal model needs no attention mask: no real
    token sees padding, and what padding sees is not read.
    """

    def __init__(
        self, model: "PreTrainedModel", temperature: float, top_p: float, chunk: int
    ) -> None:
        super().__init__()
        self.model = model
        self.head = LogprobHead(output_weight(model), temperature, top_p, chunk)

    def forward(self, batch: ModelRows) -> TokenLogprobs:
        """Log-probs [N] and entropies [N] at the response tokens of `batch`."""
        result: TokenLogprobs = self.head(response_states(self.model, batch), batch.targets)
        return result

    def gradient_norms(self, batch: ModelRows) -> Tensor:
        """How far each row of `batch` would move the output matrix [B] (`gradient_norms`)."""
        head = self.head
        return output_gradient_norms(
            response_states(self.model, batch), head.weight, batch.targets, batch.rows,
            head.temperature, head.top_p, head.chunk,
        )  # fmt: skip


def response_states(model: "PreTrainedModel", batch: ModelRows) -> Tensor:
    """The last hidden states [N, H] from which `model` predicts the response tokens of `batch`."""
    hidden = model.base_model(
        input_ids=batch.token_ids, use_cache=False, **forest_inputs(batch, model.dtype)
    ).last_hidden_state
    states: Tensor = hidden.flatten(0, 1)[batch.places]
    return states


def forest_inputs(batch: ModelRows, dtype: torch.dtype) -> dict[str, Any]:
    """What a model in `dtype` is told beside the tokens: of padded rows nothing."""
    if batch.last is None:
        return {}
    on_gpu = batch.last.device.type == "cuda"
    mask = block_mask(batch.last) if on_gpu else dense_mask(batch.last, dtype)
    return {"position_ids": batch.depths, "attention_mask": mask}


def output_weight(model: "PreTrainedModel") -> nn.Parameter:
    """The output matrix [V, H] of `model`.

    Raises ValueError for models whose logits are more than hidden states times that matrix.
    """
    config = model.config
    transforms = ("final_logit_softcapping", "logits_scaling", "logit_scale")
    found = [name for name in transforms if config.to_dict().get(name) not in (None, 1.0)]
    head = model.get_output_embeddings()
    if found or type(head) is not nn.Linear or head.bias is not None:
        reason = f"its config sets {', '.join(found)}" if found else f"its output layer is {head}"
        raise ValueError(
            f"model.path={config.name_or_path}: the learner computes logits as hidden states times "
            f"the output matrix, but {reason}; choose a model with a plain output layer"
        )
    return head.weight
