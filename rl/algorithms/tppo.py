"""T-PPO: PPO on windows of responses, so that no step waits for the longest one.

The policy trains in every step on the tokens of that step's windows, whether or not the response
has ended; the critic trains on a response once, when it ends. Deviations from the authors' recipe
(strategy v1 of its batch selection aside): every row that ran trains, none is repeated; values are
clipped around those that the update starts from, not around those of the window's own step; the
critic's loss is a mean over finished responses. As in the recipe, right answers are imitated when
they end, with the tokens of all their windows; right is what the verifier says.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from rl.algorithms.actor_critic import Estimate, Responses
from rl.algorithms.gae import (
    Floats,
    final_rewards,
    generalized_advantages,
    length_adaptive_traces,
    repeated_values,
    whitened,
    without_tail,
)
from rl.algorithms.vapo import VapoConfig


class Bootstrap(Enum):
    """What the value behind the last token of an unfinished window is taken for."""

    repeated = "repeated"
    """The value before that token (the paper)."""
    critic = "critic"
    """The critic's own, which it reads anyway; better once the critic is warm."""


@dataclass(kw_only=True)
class TPpoConfig(VapoConfig):
    """Truncated PPO (arXiv:2506.15050); windows are `rollout.window_tokens`."""

    lambda_floor: float = 0.95
    bootstrap: Bootstrap = Bootstrap.repeated
    ignored_tail_tokens: int = 8
    """Last tokens of an unfinished window whose advantage is 0."""
    max_advantage: float = 10.0
    """Whitened advantages are clamped to this size."""

    def problems(self) -> list[str]:
        found = super().problems()
        if self.ignored_tail_tokens < 0:
            found.append(
                f"algorithm.ignored_tail_tokens={self.ignored_tail_tokens}: set it to 0 or more"
            )
        if self.max_advantage <= 0:
            found.append(f"algorithm.max_advantage={self.max_advantage}: set it above 0")
        if self.dynamic_sampling:
            found.append(
                "algorithm.dynamic_sampling=true with algorithm=tppo: responses train before their "
                "group is complete; set algorithm.dynamic_sampling=false"
            )
        return found


def repeated(responses: Responses) -> Floats:
    """The value behind each row's window [B]: 0 where it ended, else that before the last token."""
    again = repeated_values(responses.values, responses.trained)
    return np.where(responses.finished, 0.0, again)


def valued(responses: Responses) -> Floats:
    """The value behind each row's window [B]: 0 where it ended, else the critic's."""
    return np.where(responses.finished, 0.0, responses.after)


BOOTSTRAPS: dict[Bootstrap, Callable[[Responses], Floats]] = {
    Bootstrap.repeated: repeated,
    Bootstrap.critic: valued,
}


def tppo(config: TPpoConfig) -> Estimate:
    """The advantages of a step: EGAE, without its tails, whitened, clamped."""

    def estimate(responses: Responses) -> Floats:
        advantages = generalized_advantages(
            final_rewards(responses.rewards, responses.trained),
            responses.values,
            BOOTSTRAPS[config.bootstrap](responses),
            responses.trained,
            config.discount,
            length_adaptive_traces(responses.lengths, config.lambda_alpha, config.lambda_floor),
        )
        kept = without_tail(responses.trained, responses.finished, config.ignored_tail_tokens)
        return whitened(advantages, kept).clip(-config.max_advantage, config.max_advantage)

    return estimate
