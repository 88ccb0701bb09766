"""Is the model there? Asked of the Hub before anything heavy starts."""

import logging

from data.config import ModelConfig
from rl.cli.model_folder import model_folder


def hub_problem(model: ModelConfig) -> str | None:
    """Why a Hub model cannot be loaded, or None; a model in the Hub's cache needs no network."""
    if model_folder(model.path) is not None:
        return None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        hf_hub_download(model.path, "config.json", revision=model.revision)
    except (OSError, HfHubHTTPError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        return (
            f"model.path={model.path} (revision {model.revision}): there is no such folder here, "
            f"and the Hub does not give it ({reason}); set a folder in Hugging Face format, or a "
            "Hub name"
        )
    return None
