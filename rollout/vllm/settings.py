"""What decides whether a replica's samples can be trained on, and where two of them differ.

A worker tells its settings, the run says which it needs; a replica that differs is refused.
"""

import json
import os
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.vllm.environment import PLUGIN_VARIABLE

if TYPE_CHECKING:
    from vllm.config import VllmConfig

LOGPROBS_MODE = "processed_logprobs"
"""Log-probs of the distribution that is sampled from, temperature and nucleus applied."""

PLUGIN_FILES = ("fingerprint.py", "patches.py", "plugin.py", "shared_memory.py", "worker.py")
PASSING = ("_name_or_path", "dtype", "torch_dtype", "transformers_version")
"""Of a model's configuration: where it came from, not what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`model` stands for architecture and vocabulary, `plugin` for our code inside vLLM.

    `max_model_tokens` is the longest prompt plus the longest response, `backend` the way of the
    weights, `drafts_problem` why speculation would sample from a wrong distribution, if at all.
    """

    vllm: str
    plugin: str
    model: str
    dtype: str
    logprobs_mode: str
    max_model_tokens: int
    backend: str = ""
    drafts_problem: str = ""


def needed_settings(model_path: str, dtype: str, max_model_tokens: int) -> Settings:
    """The settings that a run needs; `backend` is the replica's own choice."""
    import vllm

    return Settings(
        vllm=public_version(vllm.__version__),
        plugin=code_hash(),
        model=model_hash(model_path),
        dtype=dtype,
        logprobs_mode=LOGPROBS_MODE,
        max_model_tokens=max_model_tokens,
    )


def worker_settings(config: "VllmConfig") -> Settings:
    """The settings of the worker that this process is."""
    import vllm
    from vllm.v1.sample import rejection_sampler

    from rollout.vllm.patches import expand_problem

    model, drafts = config.model_config, config.speculative_config
    room = drafts.num_speculative_tokens + 1 if drafts else 0
    return Settings(
        vllm=public_version(vllm.__version__),
        plugin=code_hash() if PLUGIN_VARIABLE in os.environ else "not asked for",
        model=model_hash(model.model),
        dtype=str(model.dtype).removeprefix("torch."),
        logprobs_mode=str(model.logprobs_mode),
        max_model_tokens=model.max_model_len - room,
        backend=config.weight_transfer_config.backend if config.weight_transfer_config else "",
        drafts_problem=expand_problem(rejection_sampler.expand_batch_to_tokens) if drafts else "",
    )


def differences(theirs: Settings, needed: Settings) -> list[str]:
    """Why a replica with the settings `theirs` cannot serve a run; empty when it can."""
    found = [
        f"its {name} is {there}, the run's is {here}"
        for name in ("vllm", "plugin", "model", "dtype", "logprobs_mode")
        if (there := getattr(theirs, name)) != (here := getattr(needed, name))
    ]
    if theirs.max_model_tokens < needed.max_model_tokens:
        found.append(
            f"it has room for {theirs.max_model_tokens} tokens, the run needs "
            f"{needed.max_model_tokens}"
        )
    if not theirs.backend:
        found.append("it takes no weights")
    if theirs.drafts_problem:
        found.append(f"it would verify drafts wrongly: {theirs.drafts_problem}")
    return found


def model_hash(model_path: str) -> str:
    """16 hex digits of BLAKE2b over a model's configuration and its tokenizer's vocabulary.

    Its weights do not count: they come from the learner.
    """
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(model_path).to_dict()
    shape = {name: value for name, value in config.items() if name not in PASSING}
    vocabulary = AutoTokenizer.from_pretrained(model_path).get_vocab()
    return _hash(json.dumps([shape, vocabulary], sort_keys=True, default=str).encode())


def code_hash() -> str:
    """16 hex digits of BLAKE2b over the files of ours that run inside vLLM."""
    folder = Path(__file__).parent
    return _hash(b"".join((folder / name).read_bytes() for name in PLUGIN_FILES))


def public_version(version: str) -> str:
    """`version` without a build's local suffix: CPU and CUDA builds are one vLLM."""
    return version.split("+")[0]


def _hash(content: bytes) -> str:
    return blake2b(content, digest_size=8).hexdigest()
