"""A learner checkpoint as a model in Hugging Face format, in one process, whatever wrote it.

Flow: the initial model -> adapters, if any -> the checkpoint's weights over it -> safetensors.
Needs neither the ranks nor the devices of the run, only memory for the whole model.
"""

from pathlib import Path

import torch
from torch import Tensor

from data.config import ModelConfig
from rl.config import LoraConfig
from rl.learner.checkpoint import CHECKPOINT_TAG
from rl.learner.model import add_lora, load_model
from rl.learner.weights import checkpoint_weights, write_configs, write_safetensors

WHOLE = "mp_rank_00_model_states.pt"
"""Stages 0, 1 and 2: all weights of the policy, in one file of rank 0."""

PARTITIONED = "zero_pp_rank_0_mp_rank_00_model_states.pt"
"""Stage 3: each rank has a file like this."""

POLICY = "model."
"""What `rl.learner.policy.Policy` puts before a weight's name; its head repeats one of them."""


def export_checkpoint(
    checkpoint: Path, folder: Path, model: ModelConfig, lora: LoraConfig, model_path: str
) -> None:
    """Writes the policy of the learner checkpoint in `checkpoint` to `folder`.

    `model` and `lora` are the run's, `model_path` the initial model's folder or Hub name.
    DeepSpeed's files are pickles: give checkpoints of your own, never a downloaded one. Raises
    ValueError when the files are missing, torn, or not of that model.
    """
    saved = read_weights(checkpoint / CHECKPOINT_TAG, adapters_only=bool(lora.rank))
    policy = load_model(model_path, model, None, torch.device("cpu"))
    if lora.rank:
        add_lora(policy, lora)
    weights = {
        name.removeprefix(POLICY): tensor
        for name, tensor in saved.items()
        if name.startswith(POLICY)
    }
    missing, unexpected = policy.load_state_dict(weights, strict=False)
    if unexpected or (missing and not lora.rank) or not weights:
        names = ", ".join([*missing, *unexpected][:3])
        raise ValueError(
            f"the checkpoint {checkpoint} does not fit the model {model_path}: {len(missing)} "
            f"weights are missing and {len(unexpected)} unknown ({names})"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_configs(folder, policy, model_path, model.revision)
    found = checkpoint_weights(policy)
    write_safetensors(folder, found, bucket_bytes=2**30, partitioned=False, writes=True)


def read_weights(folder: Path, adapters_only: bool) -> dict[str, Tensor]:
    """The policy's weights by DeepSpeed's names, on the CPU; adapters only under LoRA."""
    try:
        if (folder / WHOLE).is_file():
            # weights_only refuses DeepSpeed's own classes, which lie beside the tensors.
            state = torch.load(folder / WHOLE, map_location="cpu", weights_only=False)
            return dict(state["module"])
        if (folder / PARTITIONED).is_file():
            return _consolidated(folder, adapters_only)
    # A torn pickle raises nearly anything (EOFError, KeyError, UnpicklingError, RuntimeError).
    except Exception as error:
        raise ValueError(f"the checkpoint in {folder} cannot be read: {error!r}") from error
    raise ValueError(
        f"{folder} holds no weights that can be exported ({WHOLE} is missing); finish the run with "
        "resume=PATH, which writes its export"
    )


def _consolidated(folder: Path, adapters_only: bool) -> dict[str, Tensor]:
    """ZeRO-3's partitions joined; float32 master weights, rounded when they are copied."""
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    return dict(
        get_fp32_state_dict_from_zero_checkpoint(
            str(folder.parent), tag=folder.name, exclude_frozen_parameters=adapters_only
        )
    )
