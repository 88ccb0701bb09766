"""The string verifier: the same words in the same order, whatever their case and punctuation."""

import re
import unicodedata
from dataclasses import dataclass

from data.types import Completion, Prompt, Verdict
from rewards.answers import did_not_end, stated_answer
from rewards.config import VerifierConfig
from rewards.pool import WorkerPool
from rewards.protocols import Verifier

LEAD = re.compile(r"\banswer\s{0,4}(?:is|:)", re.IGNORECASE)
ARTICLES = frozenset(("a", "an", "the"))


@dataclass(kw_only=True)
class StringConfig(VerifierConfig):
    """`verifier: string`: a normalised comparison for short answers in words."""

    separator: str = ""
    """What stands between the answers that a reference accepts; empty takes it as one answer."""


def normalised(text: str) -> str:
    """Lower case, compatibility forms, words of letters and digits only, without articles.

    SQuAD's normalisation (arXiv:1606.05250, evaluation script), for every script of Unicode.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(c if c.isalnum() or unicodedata.combining(c) else " " for c in folded).split()
    return " ".join([word for word in words if word not in ARTICLES] or words)


def string_match(reference: str, answer: str, separator: str = "") -> bool:
    """Whether `answer` is, normalised, one of those that `reference` accepts; never the empty one.

    Text up to a last "answer is" or "answer:" is not part of the answer.
    """
    accepted = reference.split(separator) if separator else [reference]
    said = short_answer(answer)
    return bool(said) and said in map(normalised, accepted)


def short_answer(answer: str) -> str:
    """`answer`, normalised, without what leads up to it."""
    return normalised(answer[_lead_end(answer) :])


def build_verifier(config: StringConfig, pool: WorkerPool) -> Verifier:
    """Needs no process."""

    async def verify(prompt: Prompt, completion: Completion) -> Verdict:
        if verdict := did_not_end(completion):
            return verdict
        answer = stated_answer(completion.text)
        return Verdict(correct=string_match(prompt.answer, answer, config.separator))

    return verify


def _lead_end(answer: str) -> int:
    return max((lead.end() for lead in LEAD.finditer(answer)), default=0)
