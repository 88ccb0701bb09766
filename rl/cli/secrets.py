"""No key in a recipe: what a run is configured with is written down, shown and published.

A value that looks like a key, or is one that the environment holds, is refused before anything is
written; the message names the config key and never the value. `mask` hides such values in any
other message.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

KINDS = {
    "a Hugging Face key": r"\b(?:hf|api_org)_[A-Za-z0-9]{20,}",
    "a W&B key": r"\b(?:wandb_v\d_[A-Za-z0-9_]{20,}|(?:local-)?[0-9a-f]{40})\b",
    "an AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "an OpenAI or Anthropic key": r"\bsk-[A-Za-z0-9_-]{20,}",
    "a GitHub key": r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "an address with a password": r"\b[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@]+@",
}
"""Kind of key to the shape that its values have."""

SECRET_NAME = re.compile(
    r"(api_?key|access_?key|secret|secret_?key|auth_?token|access_?token|hf_?token|passw(or)?d)$",
    re.IGNORECASE,
)
"""Names of config keys whose value is meant to be secret, whatever it looks like."""

SECRET_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
SHORTEST = 12
"""Characters below which the value of such a variable is too common a word to look for."""

COMMITS = re.compile(r"(^|[._])(revision|commit)$")
"""Keys whose 40 hex digits are a commit, not a W&B key."""


def secret_problems(
    leaves: Iterable[tuple[Sequence[str], Any]], environment: Mapping[str, str]
) -> list[str]:
    """One line for each value that holds a key, with what to do instead.

    `leaves` are the parts of a config key and its value (`rl.cli.recipe.walk`), `environment` is
    `os.environ`.
    """
    hidden = [
        (name, value)
        for name, value in environment.items()
        if SECRET_VARIABLE.search(name) and len(value) >= SHORTEST
    ]
    found = []
    for keys, leaf in leaves:
        key = ".".join(keys)
        for value in _texts(leaf):
            if kind := _kind(key, value, hidden):
                found.append(
                    f"{key}: holds {kind} (not shown), and a recipe is written into the run's "
                    "folder, its tracker and its model card; leave it out and read it from an "
                    "environment variable where it is used"
                )
                break
    return found


def mask(text: str) -> str:
    """`text` with everything that has the shape of a key replaced by `<secret>`."""
    for shape in KINDS.values():
        text = re.sub(shape, "<secret>", text)
    return text


def _kind(key: str, value: str, hidden: list[tuple[str, str]]) -> str:
    """What kind of key `value` holds; empty for none."""
    if SECRET_NAME.search(key) and value:
        return "a value under a secret's name"
    for name, secret in hidden:
        if secret in value:
            return f"the value of the environment variable {name}"
    for kind, shape in KINDS.items():
        if kind == "a W&B key" and COMMITS.search(key):
            continue
        if re.search(shape, value):
            return kind
    return ""


def _texts(leaf: Any) -> list[str]:
    if isinstance(leaf, list):
        return [text for each in leaf for text in _texts(each)]
    return [leaf] if isinstance(leaf, str) else []
