"""The probe: after a weight sync, engine and learner must give the same log-probs.

A stale or misplaced weight changes no shape and raises no error; it only makes every importance
ratio wrong. So the engine samples a few tokens with the weights it has just received, and the
learner scores the same tokens with the weights it has just sent.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data.types import Group, Prompt
from rl.config import RunConfig
from rl.learner.batch import rows_of
from rl.learner.ranks import LearnerGroup
from rollout.background import Runner
from rollout.engine import Engine, EngineError, Sampling

PROBE_PROMPTS = 32
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.25}


class ProbeError(EngineError):
    """Engine and learner disagree on the log-probs of the same tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Compares engine and learner on freshly sampled tokens; stops the run on disagreement."""

    engine: Engine
    loop: Runner
    learner: LearnerGroup
    prompts: Sequence[Prompt]
    config: RunConfig
    stale_parameters: Callable[[], list[str]]

    def __call__(self, version: int) -> dict[str, float]:
        """`probe/max_logprob_gap` of weight version `version`; raises `ProbeError` if too large."""
        rollout = self.config.rollout
        if not rollout.probe_tokens:
            return {}
        tolerance = rollout.probe_tolerance or TOLERANCE[self.config.model.dtype]
        gap = max_logprob_gap(self.loop.run(self._sample(version)), self.learner)
        if not gap <= tolerance:
            raise ProbeError(self._message(version, gap, tolerance))
        return {"probe/max_logprob_gap": gap}

    async def _sample(self, version: int) -> list[Group]:
        """One short completion per prompt: many positions early, where every layer matters.

        Few prompts share the tokens, each up to the longest response that the engine has room for.
        """
        rollout = self.config.rollout
        prompts = self.prompts[:PROBE_PROMPTS]
        share = -(-rollout.probe_tokens // len(prompts))
        samplings = [
            Sampling(
                id=f"probe/{version}/{index}",
                limit=min(share, self.config.limit.max_response_tokens),
                temperature=rollout.temperature,
                top_p=rollout.top_p,
                seed=index,
            )
            for index in range(len(prompts))
        ]
        completions = await asyncio.gather(
            *(self.engine.sample(p, s) for p, s in zip(prompts, samplings, strict=True))
        )
        return [
            Group(prompt=prompt, completions=(completion,))
            for prompt, completion in zip(prompts, completions, strict=True)
        ]

    def _message(self, version: int, gap: float, tolerance: float) -> str:
        stale = self.stale_parameters()
        named = ", ".join(stale[:10]) + (f" and {len(stale) - 10} more" if len(stale) > 10 else "")
        return (
            f"after weight sync {version} the engine's log-probs differ from the learner's by up "
            f"to {gap:.3g} (allowed {tolerance:.3g}). Parameters that differ in the engine: "
            f"{named or 'none: the difference lies in sampling or numerics, not in a weight'}. "
            "Set rollout.probe_tolerance only if the gap is explained"
        )


def max_logprob_gap(groups: Sequence[Group], learner: LearnerGroup) -> float:
    """Largest |engine - learner| log-prob over all sampled tokens of `groups`."""
    advantages = [[0.0] * len(group.completions) for group in groups]
    # Advantages and ages have no part in log-probs.
    rows = rows_of(groups, advantages, version=0)
    theirs = learner.logprobs(rows)
    gaps = [
        np.abs(row.sampler_logprobs - ours)[row.mask].max(initial=0.0)
        for row, ours in zip(rows, theirs, strict=True)
    ]
    return float(np.max(gaps))
