"""Where a run's models lie, and what their folders state of them."""

import json
import re
from pathlib import Path

from data.config import ModelConfig
from rl.config import RunConfig
from rollout.config import VllmConfig

LAB = Path(__file__).resolve().parents[2] / "data" / "lab"
HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def model_folder(path: str) -> Path | None:
    """The folder that `model.path` names, a lab checkpoint included; None for a Hub name."""
    if path.startswith("lab:"):
        return LAB / path.removeprefix("lab:")
    try:
        folder = Path(path).expanduser()
        is_folder = folder.is_dir()
    except (OSError, RuntimeError):
        return Path(path)
    return folder if is_folder or not HUB_NAME.fullmatch(path) else None


def model_path(config: RunConfig) -> str:
    """A folder, or a Hub name for transformers and vLLM to load."""
    return str(model_folder(config.model.path) or config.model.path)


def draft_model_path(config: RunConfig) -> str:
    """As `model_path`, of the draft model; empty for a run without one."""
    path = config.rollout.draft_model.path if isinstance(config.rollout, VllmConfig) else ""
    return str(model_folder(path) or path) if path else ""


def context_tokens(model: ModelConfig) -> int:
    """Positions that the model can hold, as configured or as its folder says; 0 when unknown."""
    folder = model_folder(model.path) if model.path else None
    if model.context_tokens or folder is None:
        return model.context_tokens
    try:
        return positions(folder)
    except ValueError:
        return 0


def vocabulary_tokens(model: ModelConfig) -> int:
    """Rows of the model's embedding, as configured or as its folder says; 0 when unknown."""
    folder = model_folder(model.path) if model.path else None
    if model.vocab_size or folder is None:
        return model.vocab_size
    try:
        return stated(folder, "vocab_size")
    except ValueError:
        return 0


def positions(folder: Path) -> int:
    """Positions of the model in `folder`, as `stated`."""
    return stated(folder, "max_position_embeddings")


def stated(folder: Path, name: str) -> int:
    """What config.json states, 0 when it does not; a ValueError says why it cannot be read."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return int(values.get(name, 0))
    except FileNotFoundError:
        is_there = "the folder has no config.json" if folder.is_dir() else "there is no such folder"
        raise ValueError(is_there) from None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"its config.json cannot be read ({type(error).__name__}: {str(error)[:100]})"
        ) from error
