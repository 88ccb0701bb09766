"""A training checkpoint as a Hugging Face folder, in one process, without the ranks that saved it.

The learner's shards -> one state -> the policy on the CPU -> whole weights, adapters folded in.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rl.config import RunConfig
from rl.learner.checkpoint import INDEX
from rl.learner.deepspeed_learner import CHECKPOINT_TAG
from rl.learner.model import add_lora, load_model
from rl.learner.policy import Policy
from rl.learner.weights import checkpoint_weights, write_safetensors

CPU = torch.device("cpu")


def consolidate(saved: Path, config: RunConfig, model_path: str, folder: Path) -> None:
    """Writes the policy that a learner saved in `saved` to `folder`, with configs and tokenizer.

    `config` is that of the run, `model_path` the model it began with. DeepSpeed's files are
    pickles: consolidate your own checkpoints only, never a downloaded one. Raises ValueError when
    `saved` holds no learner checkpoint.
    """
    from transformers import AutoTokenizer

    state = saved_state(saved)
    model = load_model(model_path, config.model, None, CPU)
    adapted = bool(config.learner.lora.rank)
    if adapted:
        add_lora(model, config.learner.lora)
    policy = Policy(model, config.rollout.temperature, config.rollout.top_p, 1)
    missing, unexpected = policy.load_state_dict(state, strict=False)
    if unexpected or (missing and not adapted and not model.config.tie_word_embeddings):
        raise ValueError(
            f"{saved} is not of the model {model_path}: it lacks {missing[:3]} and has "
            f"{unexpected[:3]} beyond it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model_path).save_pretrained(folder)
    bucket_bytes = config.rollout.sync_bucket_mib * 2**20
    write_safetensors(folder, checkpoint_weights(model), bucket_bytes, False, writes=True)


def saved_state(saved: Path) -> dict[str, Tensor]:
    """Whole parameters by name, from the files of however many ranks at any ZeRO stage."""
    index = saved / INDEX
    if not index.is_file():
        raise ValueError(f"{saved} holds no learner checkpoint ({index} is missing)")
    stage = json.loads(index.read_text(encoding="utf-8"))["layout"]["learner.zero_stage"]
    if stage:
        from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

        partitioned: dict[str, Tensor] = get_fp32_state_dict_from_zero_checkpoint(
            str(saved), tag=CHECKPOINT_TAG
        )
        return partitioned
    file = saved / CHECKPOINT_TAG / "mp_rank_00_model_states.pt"
    whole: dict[str, Any] = torch.load(file, map_location=CPU, weights_only=False)
    state: dict[str, Tensor] = whole["module"]
    return state
