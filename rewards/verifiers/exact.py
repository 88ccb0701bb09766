"""The exact verifier: the answer's characters are the reference's, white space aside."""

from dataclasses import dataclass

from data.types import Completion, Prompt, Verdict
from rewards.answers import did_not_end, stated_answer
from rewards.config import VerifierConfig
from rewards.pool import WorkerPool
from rewards.protocols import Verifier


@dataclass(kw_only=True)
class ExactConfig(VerifierConfig):
    """`verifier: exact`: a boxed or tagged answer, or all that follows the thinking."""


def exact_match(reference: str, answer: str) -> bool:
    """Equality of the words, however they are spaced."""
    return reference.split() == answer.split()


def build_verifier(config: ExactConfig, pool: WorkerPool) -> Verifier:
    """Needs no process."""

    async def verify(prompt: Prompt, completion: Completion) -> Verdict:
        if verdict := did_not_end(completion):
            return verdict
        reference, answer = stated_answer(prompt.answer), stated_answer(completion.text)
        return Verdict(correct=exact_match(reference, answer))

    return verify
