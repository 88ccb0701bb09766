"""Options of the guards; imports nothing heavy."""

from dataclasses import dataclass, field
from enum import Enum
from functools import partial

from data.bounds import too_small


class GuardAction(Enum):
    """What an alarm does beside being logged."""

    ignore = "ignore"
    """Nothing; the guard is not asked at all."""
    warn = "warn"
    """One message; the run goes on."""
    stop = "stop"
    """`latest` goes back to the last good checkpoint, and the run ends with `GuardError`."""
    restore = "restore"
    """The run goes on from the weights of the last good checkpoint with further prompts."""


@dataclass(kw_only=True)
class GuardConfig:
    """One guard: when it raises its alarm, and what the alarm does."""

    threshold: float
    action: GuardAction


@dataclass(kw_only=True)
class GuardsConfig:
    """The guards (`rl.run.guards`); figures are means over the last `window` steps."""

    window: int = 3
    max_restores: int = 1
    """A further alarm stops the run: what comes back after new prompts is a wrong setting."""
    non_finite: GuardConfig = field(
        default_factory=partial(GuardConfig, threshold=0, action=GuardAction.stop)
    )
    """Optimizer steps of the window that were left out because loss or gradient was not finite."""
    accuracy_fall: GuardConfig = field(
        default_factory=partial(GuardConfig, threshold=0.2, action=GuardAction.stop)
    )
    """Relative fall of the training accuracy below the best that the run had. What this field
    publishes trades a few points at most (7 of DOT's 32B model on AIME24, arXiv:2601.03969)."""
    length_collapse: GuardConfig = field(
        default_factory=partial(GuardConfig, threshold=0.1, action=GuardAction.warn)
    )
    """Mean length relative to the first step's. The strongest published reductions keep a fifth of
    the tokens (DOT, arXiv:2601.03969: 15,498 to 3,342 on AIME24)."""
    entropy_collapse: GuardConfig = field(
        default_factory=partial(GuardConfig, threshold=0.05, action=GuardAction.warn)
    )
    """Entropy relative to the first step's; what is gained is bought with entropy, and nothing is
    left to buy with when it is gone (arXiv:2505.22617)."""
    exploding_ratio: GuardConfig = field(
        default_factory=partial(GuardConfig, threshold=10.0, action=GuardAction.warn)
    )
    """Largest importance ratio. With a negative advantage the clipped surrogate does not bound it:
    dual-clip PPO (arXiv:1912.09729) bounds it at 3."""
    all_truncated: GuardConfig = field(
        default_factory=partial(GuardConfig, threshold=0.5, action=GuardAction.warn)
    )
    """Share of groups whose every completion hit its limit: no answer, hence no signal."""
    zero_variance: GuardConfig = field(
        default_factory=partial(GuardConfig, threshold=0.9, action=GuardAction.warn)
    )
    """Share of groups whose rewards all tie: their completions train nothing (DAPO,
    arXiv:2503.14476, section 3.2)."""

    engine_mismatch: GuardConfig = field(
        default_factory=partial(GuardConfig, threshold=0.01, action=GuardAction.warn)
    )
    """k3 estimate of KL(engine, learner) in nats a token, over tokens that the weights in force
    sampled: training has no part in it. 0.01 is where verl's preset rejects a response; a sound
    float32 engine shows 1e-12."""
    stale_policy: GuardConfig = field(
        default_factory=partial(GuardConfig, threshold=0.01, action=GuardAction.warn)
    )
    """The same over tokens that older weights sampled, less the engine's part. On the lab an update
    moves the policy by 0.002; two updates, 0.016, cost plain GRPO accuracy (LOG.md)."""
    mismatch_shift: GuardConfig = field(
        default_factory=partial(GuardConfig, threshold=3.0, action=GuardAction.warn)
    )
    """The k3 of `engine_mismatch` against its own past, in standard deviations of the steps before
    the window: what is small and new."""
    useless_drafts: GuardConfig = field(
        default_factory=partial(GuardConfig, threshold=1.05, action=GuardAction.warn)
    )
    """Tokens that a step of a completion gives where there is a draft: 1 is what it gives without,
    1.05 hardly pays for drafting."""

    def problems(self) -> list[str]:
        found = too_small("guards", self, window=1, max_restores=0)
        for name, guard in self.named().items():
            if not guard.threshold >= 0:
                found.append(
                    f"guards.{name}.threshold={guard.threshold}: set it to 0 or more, or "
                    f"guards.{name}.action=ignore to be without this guard"
                )
        return found

    def named(self) -> dict[str, GuardConfig]:
        """Every guard by its name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, GuardConfig)}
