"""The held-out problems of a recipe, as its model's tokenizer and template put them."""

from typing import TYPE_CHECKING

from data.loading import load_prompts
from data.types import Prompt
from rl.cli.problems import model_path
from rl.config import RunConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def held_out_prompts(config: RunConfig, tokenizer: "PreTrainedTokenizerBase") -> list[Prompt]:
    """The problems of an evaluation; raises ValueError with everything wrong in the data."""
    held_out = load_prompts(config.data, tokenizer, config.rollout.max_prompt_tokens, held_out=True)
    return held_out[: config.evaluation.num_problems or None]


def read_held_out(config: RunConfig) -> list[Prompt]:
    """The same, with the tokenizer of the configured model."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_path(config), revision=config.model.revision)
    return held_out_prompts(config, tokenizer)
