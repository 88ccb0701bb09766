"""A verifier of the user's own, named by a dotted path; it runs in the pool's processes."""

from dataclasses import dataclass, field
from typing import Any

from data.types import Completion, Prompt, Verdict
from data.wire import encode
from rewards.config import VerifierConfig
from rewards.functions import function_job, number
from rewards.pool import AnswerFailed, Job, WorkerPool
from rewards.protocols import Verifier


@dataclass(kw_only=True)
class CustomVerifierConfig(VerifierConfig):
    """`verifier: custom`: the user's function says whether a completion is right."""

    target: str = ""
    """`module.name` of the function, or of a factory when `args` are given."""
    args: dict[str, Any] = field(default_factory=dict)

    def problems(self) -> list[str]:
        found = super().problems()
        if "." not in self.target:
            found.append(
                f"verifier.target={self.target!r}: a custom verifier is a dotted path; "
                "set verifier.target=module.name"
            )
        return found


def verifier_job(config: CustomVerifierConfig) -> Job:
    """What a worker is to load."""
    return function_job("verifier.target", config.target, config.args)


def build_verifier(config: CustomVerifierConfig, pool: WorkerPool) -> Verifier:
    """Calls the function on every completion, truncated ones too; it returns true or false."""
    job = verifier_job(config)

    async def verify(prompt: Prompt, completion: Completion) -> Verdict:
        try:
            value = number(await pool.ask(job, encode((prompt, completion))))
            if value not in (0, 1):
                raise AnswerFailed(
                    f"returned {value}: a verifier says true or false; grades between them are "
                    "values of reward.functions"
                )
        except AnswerFailed as error:
            return Verdict(correct=None, reason=f"verifier.target={config.target} {error}")
        return Verdict(correct=bool(value))

    return verify
