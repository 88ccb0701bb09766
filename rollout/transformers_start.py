"""Starts the transformers engine: from `TransformersConfig` to a running `TransformersEngine`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from rollout.background import BackgroundLoop
from rollout.config import TransformersConfig
from rollout.engine import EngineError
from rollout.transformers_engine import TransformersEngine

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FULL_ATTENTION = "full_attention"


def start_engine(
    config: TransformersConfig,
    *,
    loop: BackgroundLoop,
    model_path: str,
    dtype: str,
    max_model_tokens: int,
    weight_version: int = 0,
    seed: int = 0,
) -> TransformersEngine:
    """Loads `model_path` into this process; requests may come from any event loop, so from `loop`.

    `max_model_tokens` is the longest prompt plus the longest response. Raises `EngineError` when
    the model's layers need more than whole keys and values.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert not loop.is_current, "loading blocks"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=getattr(torch, dtype))
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    check_layers(model)
    return TransformersEngine(
        model.to(device).eval().requires_grad_(False),
        tokenizer,
        end_ids=end_ids(model, tokenizer),
        max_num_seqs=config.max_num_seqs,
        max_model_tokens=max_model_tokens,
        weight_version=weight_version,
        seed=seed,
    )


def check_layers(model: "PreTrainedModel") -> None:
    """Raises `EngineError` for layers whose cache is not plain keys and values of all tokens."""
    config = model.config.to_dict()
    windowed = "sliding_attention" if config.get("sliding_window") else FULL_ATTENTION
    others = set(config.get("layer_types") or [windowed]) - {FULL_ATTENTION}
    if others:
        raise EngineError(
            f"{model.config.name_or_path} has layers of {', '.join(sorted(others))}; "
            f"rollout=transformers runs {FULL_ATTENTION} alone: set rollout=vllm or another model"
        )


def end_ids(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Token ids that end a completion: the tokenizer's, and those of the generation config."""
    stated = model.generation_config.eos_token_id
    found = list(stated) if isinstance(stated, Sequence) else [stated]
    return sorted({token for token in (*found, tokenizer.eos_token_id) if token is not None})
