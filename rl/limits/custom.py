"""A limit of the user's own, named by a dotted path and checked on every call.

It lives in the process of rank 0, between updates. Two shapes are known: a function of a prompt and
a step, which learns nothing, and a class (or a factory) of objects with the methods of `Limit`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from data.types import Group, Prompt, Verdict
from rewards.target import call_factory, resolve
from rl.config import LimitConfig
from rl.limits.limit import Limit, LimitError

KEY = "limit.target"
SHAPES = "function(prompt, step) -> tokens, or a class with limit, observe, state and load"


@dataclass(kw_only=True)
class CustomLimitConfig(LimitConfig):
    """A limit of the user's own: `limit: custom` with a dotted path."""

    target: str = ""
    """`module.name` of a function(prompt, step), of a class of limits, or of a factory of either
    when `args` are given."""
    args: dict[str, Any] = field(default_factory=dict)

    def problems(self) -> list[str]:
        found = super().problems()
        if "." not in self.target:
            found.append(
                f"limit.target={self.target!r}: a custom limit is a dotted path; "
                "set limit.target=module.name"
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedLimit:
    """The user's limit, held to whole tokens that the engine has room for and to a JSON state."""

    target: str
    tokens: Callable[[Prompt, int], Any]
    learner: Limit | None
    """The same object where it has state; None for a function."""
    longest: int

    def limit(self, prompt: Prompt, step: int) -> int:
        tokens = self._call("limit", self.tokens, prompt, step)
        if type(tokens) is not int or not 1 <= tokens <= self.longest:
            raise LimitError(
                f"{KEY}={self.target}: allowed {tokens!r} tokens to prompt {prompt.id} at step "
                f"{step}; return an int from 1 to limit.max_response_tokens={self.longest}"
            )
        return tokens

    def observe(
        self, groups: Sequence[Group], verdicts: Sequence[Sequence[Verdict]]
    ) -> dict[str, float]:
        """What the user's limit measures, each name below limit/custom; None is nothing."""
        if self.learner is None:
            return {}
        measured = self._call("observe", self.learner.observe, groups, verdicts)
        try:
            return {f"limit/custom/{name}": float(n) for name, n in dict(measured or {}).items()}
        except (TypeError, ValueError) as error:
            raise LimitError(
                f"{KEY}={self.target}: observe returned {measured!r:.200}; return None, or numbers "
                "by name"
            ) from error

    def state(self) -> dict[str, Any]:
        if self.learner is None:
            return {}
        state = self._call("state", self.learner.state)
        try:
            kept = json.loads(json.dumps(state))
        except (TypeError, ValueError) as error:
            raise LimitError(
                f"{KEY}={self.target}: state() cannot be saved as JSON ({error}); return dicts "
                "with text keys, lists, text and numbers"
            ) from error
        if kept != state or not isinstance(state, dict):
            raise LimitError(
                f"{KEY}={self.target}: state() would come back from a checkpoint as something "
                "else; return dicts with text keys, lists, text and numbers"
            )
        return state

    def load(self, state: dict[str, Any]) -> None:
        if self.learner is not None:
            self._call("load", self.learner.load, state)

    def _call(self, name: str, method: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return method(*arguments)
        # A user's method raises what it likes; the message says where.
        except Exception as error:
            raise LimitError(
                f"{KEY}={self.target}: {name} raised {type(error).__name__}: {error}"
            ) from error


def build_limit(config: CustomLimitConfig) -> Limit:
    """The limit at `target`; the recipe's folder must be importable.

    Raises ValueError, with what to set, when nothing of either shape is there or its factory
    refuses the arguments.
    """
    made: Any = resolve(KEY, config.target, SHAPES)
    if config.args or isinstance(made, type):
        made = call_factory(made, KEY, config.target, config.args)
    learner = made if isinstance(made, Limit) else None
    if learner is None and not callable(made):
        raise ValueError(
            f"{KEY}={config.target}: made a {type(made).__name__}, which is no limit; name a "
            f"{SHAPES}"
        )
    return CheckedLimit(
        target=config.target,
        tokens=learner.limit if learner else made,
        learner=learner,
        longest=config.max_response_tokens,
    )
