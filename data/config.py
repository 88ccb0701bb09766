"""Options of the model and the data; imports nothing heavy."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import Enum, StrEnum
from typing import Any

from data.bounds import too_small

CUSTOM = "custom"
"""The path of rows that a function of the user's own returns."""


class UnusableRows(Enum):
    """What happens to rows that are malformed, have no answer or too long a prompt."""

    refuse = "refuse"
    """They are listed, and the run does not start."""
    leave_out = "leave_out"
    """They are listed and counted, and the run goes on without them."""


class BudgetKind(StrEnum):
    """What the number in a prompt's budget phrase asks for."""

    EXACT = "exact"
    """That many tokens."""
    MAX = "max"
    """At most that many tokens."""
    EFFORT = "effort"
    """That percentage of the tokens which the model spends on this question."""


@dataclass(kw_only=True)
class ModelConfig:
    """The policy that is trained: the YAML files of the `model` group fill this in."""

    path: str = ""
    """Hub name, a folder, or `lab:short` (short_tied, long, long_tied) for a lab checkpoint."""
    revision: str = "main"
    dtype: str = "bfloat16"
    """Compute type of learner and engine: float32 or bfloat16. The CPU lab uses float32."""
    num_parameters: int = 0
    num_layers: int = 0
    hidden_size: int = 0
    intermediate_size: int = 0
    num_kv_heads: int = 0
    head_dim: int = 0
    vocab_size: int = 0
    context_tokens: int = 0
    """Shapes, so that `laconic plan` works offline; 0 reads them from the model's config."""

    def problems(self) -> list[str]:
        found = []
        if not self.path:
            found.append(
                "model.path is empty: choose `model: NAME` or set model.path=HUB_NAME_OR_FOLDER"
            )
        if self.dtype not in ("float32", "bfloat16"):
            found.append(f"model.dtype={self.dtype}: set float32 or bfloat16")
        shapes = [each.name for each in fields(self) if each.type is int]
        return found + too_small("model", self, **dict.fromkeys(shapes, 0))


@dataclass(kw_only=True)
class DataConfig:
    """Training and evaluation prompts: the YAML files of the `data` group fill this in."""

    path: str = ""
    """Hub name, folder, JSONL or parquet file, `lab:short` / `lab:long`, or `custom`: the rows that
    the function at `target` returns. A relative path in a recipe is relative to the recipe."""
    split: str = "train"
    eval_path: str = ""
    """Held-out prompts; empty means no evaluation before and after training."""
    eval_split: str = "test"
    prompt_column: str = ""
    """Empty finds the column by convention (TRL, verl, OpenRLHF, verifiers)."""
    answer_column: str = ""
    target: str = ""
    """`module.name` of a function(split) that returns rows, or of a factory of one when `args` are
    given; for a `path` or `eval_path` that is `custom`."""
    args: dict[str, Any] = field(default_factory=dict)
    instruction: str = ""
    """Appended to the user's question, e.g. the request to put the answer in a box."""
    system_prompt: str = ""
    unusable_rows: UnusableRows = UnusableRows.refuse
    num_prompts: int = 0
    """The first N prompts to train on; 0 is all of them. Methods that remember each prompt learn
    only from prompts that come back."""

    def problems(self) -> list[str]:
        found = []
        if not self.path:
            found.append(
                "data.path is empty: choose `data: NAME` or set data.path=HUB_NAME_OR_FILE"
            )
        is_custom = CUSTOM in (self.path, self.eval_path)
        if is_custom and "." not in self.target:
            found.append(
                f"data.target={self.target!r}: rows of your own come from a dotted path; "
                "set data.target=module.name"
            )
        if self.target and not is_custom:
            found.append(
                f"data.target={self.target} with data.path={self.path}: the function is not used; "
                "set data.path=custom (or choose `data: custom`), or data.target=''"
            )
        if self.num_prompts < 0:
            found.append(f"data.num_prompts={self.num_prompts}: set it to 0 (all) or more")
        return found


@dataclass(kw_only=True)
class BudgetConfig:
    """Base of the `budget` group: what a prompt asks for, in a phrase after its question."""

    def kinds(self) -> frozenset[BudgetKind]:
        """The kinds of budget that prompts have; none for prompts as they are."""
        return frozenset()

    def amounts(self, held_out: bool) -> Sequence[int]:
        """What training prompts, or held-out ones, may ask for; each is equally likely."""
        return ()

    def problems(self) -> list[str]:
        return []
