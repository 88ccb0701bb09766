"""The prompts of a run and its model's files, read and checked before anything heavy starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.loading import Dataset, load_dataset
from data.types import Prompt
from rl.cli.model_folder import model_folder, model_path
from rl.cli.options import build
from rl.cli.own_rows import rows_of
from rl.config import RunConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Prompts to train on, and held-out ones, as many of each as the recipe uses."""

    training: list[Prompt]
    held_out: list[Prompt]
    data_counts: Mapping[str, Any]
    """By `train` and `eval`, what became of the rows; for the run's summary."""


def read_inputs(config: RunConfig) -> Inputs:
    """Raises ValueError with what is wrong in the model's files, or with everything in the data."""
    check_weights(config)
    tokenizer = read_tokenizer(config)
    training = _read(config, tokenizer, held_out=False)
    counts = {"train": training.report.counts()}
    held_out: list[Prompt] = []
    if config.data.eval_path:
        evaluated = _read(config, tokenizer, held_out=True)
        counts["eval"] = evaluated.report.counts()
        held_out = evaluated.prompts[: config.evaluation.num_problems or None]
    prompts = training.prompts[: config.data.num_prompts or None]
    return Inputs(training=prompts, held_out=held_out, data_counts=counts)


def read_held_out(config: RunConfig) -> list[Prompt]:
    """The problems of an evaluation; raises ValueError as `read_inputs` does."""
    check_weights(config)
    evaluated = _read(config, read_tokenizer(config), held_out=True)
    return evaluated.prompts[: config.evaluation.num_problems or None]


def read_tokenizer(config: RunConfig) -> "PreTrainedTokenizerBase":
    """The model's tokenizer; raises ValueError when its files cannot be read."""
    from transformers import AutoTokenizer

    path, given = model_path(config), f"model.path={config.model.path}"
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            path, revision=config.model.revision
        )
    # The tokenizers library raises bare `Exception`, transformers KeyError and AttributeError too.
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"{given}: its tokenizer cannot be read ({type(error).__name__}: {reason}); set a "
            "model that comes with tokenizer.json"
        ) from error
    # Without the files transformers makes a tokenizer that knows no word.
    if tokenizer.vocab_size < 2:
        raise ValueError(
            f"{given}: there is no tokenizer; set a model that comes with tokenizer.json"
        )
    return tokenizer


def check_weights(config: RunConfig) -> None:
    """Raises ValueError when a local model has no weights, or a file of them is cut short."""
    folder = model_folder(config.model.path)
    if folder is None:
        return
    files = [file for pattern in WEIGHTS for file in sorted(folder.glob(pattern))]
    if not files:
        raise ValueError(
            f"model.path={config.model.path}: there are no weights in {folder}; set a folder with "
            "*.safetensors"
        )
    for file in files:
        if file.suffix == ".safetensors" and (reason := _damage(file)):
            raise ValueError(
                f"model.path={config.model.path}: {file.name} is damaged ({reason}); copy it again"
            )


def _read(config: RunConfig, tokenizer: "PreTrainedTokenizerBase", *, held_out: bool) -> Dataset:
    """One split, each prompt with the budget that the recipe gives it."""
    draw = build("budget", config.budget, held_out)
    longest = config.rollout.max_prompt_tokens
    load = partial(rows_of, config.data)
    return load_dataset(config.data, tokenizer, longest, held_out=held_out, draw=draw, load=load)


def _damage(file: Path) -> str:
    """What is wrong with the header of `file`, or with its length against it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):
            return ""
    except (SafetensorError, OSError) as error:
        return str(error)
