"""Loading the policy: a transformers causal language model, with LoRA adapters if asked for."""

import inspect
import logging
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from data.config import ModelConfig
from rl.config import LoraConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

logger = logging.getLogger(__name__)


def load_model(
    path: str, config: ModelConfig, zero3: dict[str, Any] | None, device: torch.device
) -> "PreTrainedModel":
    """The causal language model in `path` in `config.dtype`.

    With `zero3`, a DeepSpeed config of stage 3, every rank loads its partition only; otherwise the
    model lies whole on `device`.
    """
    from transformers import AutoModelForCausalLM
    from transformers.integrations import HfDeepSpeedConfig

    # transformers finds this object by a weak reference: it must live until the model is loaded.
    partitioned = HfDeepSpeedConfig(zero3) if zero3 else None
    model = AutoModelForCausalLM.from_pretrained(
        path, revision=config.revision, dtype=DTYPES[config.dtype]
    )
    del partitioned
    return model if zero3 else model.to(device)


def add_lora(model: "PreTrainedModel", config: LoraConfig) -> Any:
    """`model` with trainable adapters, everything else frozen (peft's wrapper around it)."""
    import peft

    targets = config.target_modules
    return peft.get_peft_model(
        model,
        peft.LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            lora_dropout=config.dropout,
            target_modules=targets[0] if targets == ["all-linear"] else list(targets),
            task_type="CAUSAL_LM",
        ),
        autocast_adapter_dtype=False,
    )


def enable_checkpointing(model: "PreTrainedModel", inputs_require_grad: bool) -> None:
    """Recomputes each layer in the backward pass.

    Reentrant: under ZeRO-3 the other kind compares tensors that were saved whole with tensors
    that are empty again. Frozen embeddings (LoRA) must then hand out inputs that require
    gradients.
    """
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
    if inputs_require_grad:
        model.enable_input_require_grads()


def enable_shared_prefixes(model: "PreTrainedModel", device: torch.device) -> None:
    """Lets `model` read a prefix forest (`rl.learner.prefix_forest`): on GPUs by FlexAttention.

    Raises ValueError for models that look at the past by more than a mask and positions.
    """
    found = beyond_mask_and_positions(model)
    if found:
        raise ValueError(
            f"model.path={model.config.name_or_path} with learner.share_prefixes=true: rows that "
            "share a prefix need full attention by a mask and given positions in every layer, but "
            f"the model has {', '.join(found)}; set learner.share_prefixes=false"
        )
    if device.type == "cuda":
        model.set_attn_implementation("flex_attention")


def beyond_mask_and_positions(model: "PreTrainedModel") -> list[str]:
    """Windows, recurrent layers and biases by distance: a forest's order would mislead them."""
    found = limited_attention(model)
    if getattr(model.config, "alibi", False):
        found.append("alibi")
    taken = inspect.signature(model.base_model.forward).parameters
    return found + [
        f"no {name}" for name in ("attention_mask", "position_ids") if name not in taken
    ]


def limited_attention(model: "PreTrainedModel") -> list[str]:
    """What keeps layers from attending to all that came before: windows, recurrent layers."""
    config = model.config.to_dict()
    kinds = config.get("layer_types") or []
    found = sorted(set(kinds) - {"full_attention"})
    if not kinds and config.get("sliding_window"):
        found.append(f"sliding_window={config['sliding_window']}")
    return found


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Trainable parameters for the optimizer: matrices decay, norms and biases do not."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trainable if len(whole_shape(p)) >= 2]
    vectors = [p for p in trainable if len(whole_shape(p)) < 2]
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def whole_shape(parameter: nn.Parameter) -> torch.Size:
    """The shape of `parameter` before ZeRO-3 cut it into partitions."""
    return parameter.ds_shape if hasattr(parameter, "ds_shape") else parameter.shape
