"""Budget phrases: each prompt asks for a number of tokens, or an effort, drawn once from its id.

Flow: `build_draw` -> a `Draw` from prompt id to `Budget` -> `phrase_of`, which follows the question
before templating. A draw depends on seed and id alone, so that the order of the rows, epochs,
restarts and resharding do not matter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from data.config import BudgetConfig, BudgetKind
from data.types import Budget

Draw = Callable[[str], Budget | None]
"""From a prompt's id to its budget, None for a prompt that asks for nothing."""

PHRASES = {
    BudgetKind.EXACT: "Think for {} tokens.",
    BudgetKind.MAX: "Think for maximum {} tokens.",
    BudgetKind.EFFORT: "Use {} percent effort.",
}
"""The first two as L1 writes them; the last is ours. The lab's models know the words of all."""


@dataclass(kw_only=True)
class NoBudgetConfig(BudgetConfig):
    """`budget: none`, prompts as they are."""


@dataclass(kw_only=True)
class DrawnBudgetConfig(BudgetConfig):
    """What budgets share that are drawn for each prompt."""

    seed: int = 0
    """Not the run's, so that runs of other seeds are asked for the same."""


@dataclass(kw_only=True)
class TokenBudgetConfig(DrawnBudgetConfig):
    """Budgets in tokens: `min_tokens`, then every `step_tokens` further up to `max_tokens`."""

    min_tokens: int = 100
    max_tokens: int = 4000
    step_tokens: int = 1
    eval_min_tokens: int = 0
    eval_max_tokens: int = 0
    """Held-out prompts draw from this range, in the same steps; 0 asks them for nothing. Steps that
    are offset against training's give budgets that were never trained on."""

    def amounts(self, held_out: bool) -> Sequence[int]:
        if not held_out:
            return range(self.min_tokens, self.max_tokens + 1, self.step_tokens)
        if not self.eval_max_tokens:
            return ()
        return range(self.eval_min_tokens, self.eval_max_tokens + 1, self.step_tokens)

    def problems(self) -> list[str]:
        found = []
        if not 1 <= self.min_tokens <= self.max_tokens:
            found.append(
                f"budget.min_tokens={self.min_tokens}, budget.max_tokens={self.max_tokens}: set "
                "1 <= budget.min_tokens <= budget.max_tokens"
            )
        asked = self.eval_min_tokens or self.eval_max_tokens
        if asked and not 1 <= self.eval_min_tokens <= self.eval_max_tokens:
            found.append(
                f"budget.eval_min_tokens={self.eval_min_tokens}, budget.eval_max_tokens="
                f"{self.eval_max_tokens}: set 1 <= budget.eval_min_tokens <= "
                "budget.eval_max_tokens, or both to 0 to ask held-out prompts for nothing"
            )
        if self.step_tokens < 1:
            found.append(f"budget.step_tokens={self.step_tokens}: set it to 1 or more")
        return found


@dataclass(kw_only=True)
class ExactBudgetConfig(TokenBudgetConfig):
    """`budget: exact`, every prompt asks for that many tokens."""

    def kinds(self) -> frozenset[BudgetKind]:
        return frozenset({BudgetKind.EXACT})


@dataclass(kw_only=True)
class MaxBudgetConfig(TokenBudgetConfig):
    """`budget: max`, every prompt asks for at most that many tokens."""

    def kinds(self) -> frozenset[BudgetKind]:
        return frozenset({BudgetKind.MAX})


@dataclass(kw_only=True)
class DualBudgetConfig(TokenBudgetConfig):
    """`budget: dual`, half of the prompts ask for an exact number, the others for a maximum."""

    def kinds(self) -> frozenset[BudgetKind]:
        return frozenset({BudgetKind.EXACT, BudgetKind.MAX})


@dataclass(kw_only=True)
class EffortBudgetConfig(DrawnBudgetConfig):
    """`budget: effort`, every prompt asks for a percentage of the tokens it usually takes."""

    percents: list[int] = field(default_factory=lambda: [25, 50, 75, 100])
    eval_percents: list[int] = field(default_factory=list)
    """Efforts of held-out prompts; empty asks them for nothing."""

    def kinds(self) -> frozenset[BudgetKind]:
        return frozenset({BudgetKind.EFFORT})

    def amounts(self, held_out: bool) -> Sequence[int]:
        return self.eval_percents if held_out else self.percents

    def problems(self) -> list[str]:
        found = []
        if min(self.percents, default=0) < 1:
            found.append(f"budget.percents={self.percents}: set at least one, each of 1 or more")
        if min(self.eval_percents, default=1) < 1:
            found.append(f"budget.eval_percents={self.eval_percents}: set none, or 1 or more each")
        return found


def no_budget(prompt_id: str) -> None:
    """A `Draw` for prompts as they are."""


def draw_budget(
    prompt_id: str, amounts: Sequence[int], kinds: Sequence[BudgetKind], seed: int
) -> Budget:
    """One of `amounts` and one of `kinds`, each equally likely, from a hash of seed and id."""
    digest = blake2b(f"{seed} {prompt_id}".encode(), digest_size=16).digest()
    amount, kind = int.from_bytes(digest[:8]), int.from_bytes(digest[8:])
    return Budget(kind=kinds[kind % len(kinds)], amount=amounts[amount % len(amounts)])


def phrase_of(budget: Budget | None) -> str:
    """What the prompt says to ask for `budget`."""
    return PHRASES[budget.kind].format(budget.amount) if budget else ""


def build_none(config: NoBudgetConfig, held_out: bool) -> Draw:
    return no_budget


def build_draw(config: DrawnBudgetConfig, held_out: bool) -> Draw:
    """The draw for training prompts, or for held-out ones."""
    amounts, kinds, seed = config.amounts(held_out), sorted(config.kinds()), config.seed
    if not amounts:
        return no_budget
    return lambda prompt_id: draw_budget(prompt_id, amounts, kinds, seed)


def described(config: BudgetConfig, held_out: bool) -> str:
    """In a few words, what prompts are asked for; equal words mean equal draws."""
    amounts = config.amounts(held_out)
    if not isinstance(config, DrawnBudgetConfig) or not amounts:
        return "none"
    listed = (
        f"{amounts[0]} to {amounts[-1]} by {amounts.step}"
        if isinstance(amounts, range)
        else ", ".join(map(str, amounts))
    )
    return f"{' or '.join(sorted(config.kinds()))} {listed}, seed {config.seed}"
