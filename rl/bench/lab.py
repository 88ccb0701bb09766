"""The lab as benchmarks take it: its models, and prompts templated for them."""

from pathlib import Path

from data.config import DataConfig
from data.loading import load_prompts
from data.types import Prompt

ROOT = Path(__file__).resolve().parents[2]


def lab_model(lab: str) -> Path:
    """The folder of the lab's checkpoint: `short`, `long`, or their tied variants."""
    return ROOT / "data" / "lab" / lab


def lab_prompts(lab: str, count: int, max_prompt_tokens: int) -> list[Prompt]:
    """The first training problems of a lab, templated for its model."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(lab_model(lab))
    return load_prompts(DataConfig(path=f"lab:{lab}"), tokenizer, max_prompt_tokens)[:count]
