"""Options of drafting, from the history of a prompt or with a model; imports nothing heavy."""

from dataclasses import dataclass

from data.bounds import too_small


@dataclass(kw_only=True)
class HistoryConfig:
    """What `rollout.speculation=history` keeps, and how far it drafts."""

    outputs_per_prompt: int = 32
    """Outputs of a prompt to draft from, running siblings included: twice the group or more.
    Siblings beyond this number draft nothing."""
    max_tokens: int = 64_000_000
    """Tokens kept over all prompts, 4 bytes each, per engine. Keep more than one epoch samples:
    beyond this the prompts that were answered longest ago are forgotten."""
    min_probability: float = 0.1
    """A draft ends before the token at which its estimated probability falls below this."""
    draft_length: int = 0
    """Tokens of every draft that are verified; 0 leaves it to the goodput controller, which decides
    each step by what verifying costs and what was accepted so far."""

    def problems(self) -> list[str]:
        found = too_small("rollout.history", self, outputs_per_prompt=1, max_tokens=1)
        if not 0 < self.min_probability <= 1:
            found.append(
                f"rollout.history.min_probability={self.min_probability}: "
                "set 0 < rollout.history.min_probability <= 1"
            )
        if self.draft_length < 0:
            found.append(
                f"rollout.history.draft_length={self.draft_length}: set it to 0 (the controller "
                "decides) or more"
            )
        return found


@dataclass(kw_only=True)
class DraftModelConfig:
    """What `rollout.speculation=draft_model` drafts with: a small model of the same vocabulary."""

    path: str = ""
    """Hub name, a folder, or `lab:short` (short_tied, long, long_tied) for a lab checkpoint."""
    revision: str = "main"
