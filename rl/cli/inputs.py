"""What a run is given, read and checked before anything heavy starts: prompts and reward."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.loading import Dataset, load_dataset
from data.types import Prompt
from rewards.compose import gated
from rewards.gates.none import NoGateConfig
from rewards.protocols import Reward
from rl.cli.options import build
from rl.cli.problems import model_folder
from rl.config import RunConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Prompts to train on, held-out ones (as many as the recipe evaluates), and the reward."""

    training: Dataset
    held_out: list[Prompt]
    reward: Reward
    data_counts: Mapping[str, Any]
    """By `train` and `eval`, what became of the rows; for the run's summary."""


def read_inputs(config: RunConfig) -> Inputs:
    """Everything in the order of its cost; raises ValueError with what is wrong."""
    reward = build_reward(config)
    tokenizer = read_tokenizer(config)
    longest = config.rollout.max_prompt_tokens
    training = load_dataset(config.data, tokenizer, longest)
    counts = {"train": training.report.counts()}
    held_out: list[Prompt] = []
    if config.data.eval_path:
        evaluated = load_dataset(config.data, tokenizer, longest, held_out=True)
        counts["eval"] = evaluated.report.counts()
        held_out = evaluated.prompts[: config.evaluation.num_problems or None]
    return Inputs(training=training, held_out=held_out, reward=reward, data_counts=counts)


def read_tokenizer(config: RunConfig) -> "PreTrainedTokenizerBase":
    """The model's tokenizer; raises ValueError when its files cannot be read."""
    from transformers import AutoTokenizer

    path = model_path(config)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            path, revision=config.model.revision
        )
    # The tokenizers library raises bare `Exception`, transformers KeyError and AttributeError too.
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"model.path={config.model.path}: its tokenizer cannot be read "
            f"({type(error).__name__}: {reason}); set a model that comes with tokenizer.json"
        ) from error
    return tokenizer


def build_reward(config: RunConfig) -> Reward:
    """The recipe's reward, its length part gated."""
    reward: Reward = build("reward", config.reward)
    if isinstance(config.gate, NoGateConfig):
        return reward
    return gated(reward, build("gate", config.gate, config.seed))


def model_path(config: RunConfig) -> str:
    """A folder, or a Hub name for transformers and vLLM to load."""
    return str(model_folder(config.model.path) or config.model.path)
