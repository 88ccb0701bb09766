"""Whether the model of a run, and its draft model, can be read and hold what the run asks for."""

from rl.cli.model_folder import (
    LAB,
    context_tokens,
    draft_model_path,
    model_folder,
    positions,
    stated,
    vocabulary_tokens,
)
from rl.config import RunConfig
from rollout.config import VllmConfig


def model_problems(config: RunConfig) -> list[str]:
    path = config.model.path
    folder = model_folder(path) if path else None
    if folder is None:
        return []
    try:
        positions(folder)
    except ValueError as error:
        wrong = str(error)
    else:
        return []
    if path.startswith("lab:"):
        names = sorted(f"lab:{config.parent.name}" for config in LAB.glob("*/config.json"))
        return [f"model.path={path}: the lab has no such checkpoint; there are {', '.join(names)}"]
    return [f"model.path={path}: {wrong}; set a folder in Hugging Face format, or a Hub name"]


def context_problems(config: RunConfig) -> list[str]:
    held = context_tokens(config.model)
    prompt, response = config.rollout.max_prompt_tokens, config.limit.max_response_tokens
    if not held or prompt + response <= held:
        return []
    return [
        f"rollout.max_prompt_tokens={prompt} with limit.max_response_tokens={response}: "
        f"{prompt + response} tokens do not fit the model's context of {held}; lower either until "
        f"they sum to {held}"
    ]


def draft_model_problems(config: RunConfig) -> list[str]:
    """A draft model must speak the policy's tokens, as far as the policy's answers go."""
    path = draft_model_path(config)
    if not path and config.learner.draft_model.learning_rate:
        return [
            f"learner.draft_model.learning_rate={config.learner.draft_model.learning_rate} without "
            "a draft model; set rollout.speculation=draft_model and rollout.draft_model.path, or "
            "learner.draft_model.learning_rate=0"
        ]
    folder = model_folder(path) if path else None
    if folder is None:
        return []  # One on the Hub vLLM compares with the policy when it has loaded both.
    assert isinstance(config.rollout, VllmConfig)
    given = f"rollout.draft_model.path={config.rollout.draft_model.path}"
    try:
        vocabulary, held = stated(folder, "vocab_size"), positions(folder)
    except ValueError as error:
        return [f"{given}: {error}; set a folder in Hugging Face format, or a Hub name"]
    found = []
    wanted = vocabulary_tokens(config.model)
    if wanted and vocabulary != wanted:
        found.append(
            f"{given}: its vocabulary has {vocabulary} tokens and that of model.path="
            f"{config.model.path} has {wanted}; set a draft model of the same tokenizer"
        )
    longest = config.rollout.max_prompt_tokens + config.limit.max_response_tokens
    if 0 < held < longest:
        found.append(
            f"{given}: its context of {held} tokens ends before rollout.max_prompt_tokens="
            f"{config.rollout.max_prompt_tokens} plus limit.max_response_tokens="
            f"{config.limit.max_response_tokens}, and one long answer would end drafting for all; "
            f"lower either until they sum to {held}, or set another draft model"
        )
    return found
