"""The multiple-choice verifier: the letter that a model chose, in the shapes that models write.

In this order: a closed box or `<answer>` tag; the last "answer is B", "Answer: (B)", "I choose B";
"B is correct"; the one option that is mentioned; an answer that is nothing but one letter or one
labelled choice, such as "B" or "B) Paris". Several choices, none of them stated, are no answer.
"""

import re
from dataclasses import dataclass

from data.types import Completion, Prompt, Verdict
from rewards.answers import did_not_end, final_text, stated_answer
from rewards.config import VerifierConfig
from rewards.pool import WorkerPool
from rewards.protocols import Verifier

OPEN = r"(?:[\s:*_(\[$\"']|\\(?:text|textbf|textrm|mathrm|mathbf|boxed)\{){0,8}"
"""What may stand between a word such as `answer` and the letter: brackets, emphasis, LaTeX."""
NO_WORD = r"(?![A-Za-z0-9'])"
SURE = rf"(?:[A-Z]{NO_WORD}|[a-z](?=[)\].}}*$]|\s*$))"
"""A capital that begins no word, or a small letter that is closed: not the `a` of "a good one"."""
STATED = re.compile(
    r"\b(?i:answer|(?:correct|right|best) (?:option|choice)|choose|pick|select)\b"
    rf"(?:\s{{0,3}}(?i:is|should be|would be|must be)\b)?{OPEN}"
    rf"(?:(?i:option|choice|letter)\b{OPEN})?(?P<letter>{SURE})"
)
CONFIRMED = re.compile(
    r"(?<![A-Za-z0-9'])(?P<letter>[A-Z])[)\].*]{0,3} (?:is|seems) (?:the )?(?:correct|right|best)\b"
)
MENTIONED = re.compile(rf"\b(?i:option|choice)\b{OPEN}(?P<letter>{SURE})")
LABELLED = re.compile(r"(?<![A-Za-z0-9'])(?P<letter>[A-Z])[)\].:](?![A-Za-z0-9])")
ALONE = re.compile(rf"{OPEN}(?P<letter>[A-Za-z])(?:[\s.)\]}}*$_\"']|\\\)){{0,8}}")
LABEL = re.compile(rf"{OPEN}(?P<letter>[A-Za-z])(?:[}}*]{{0,3}}[)\].:]|\}})")


@dataclass(kw_only=True)
class MultipleChoiceConfig(VerifierConfig):
    """`verifier: multiple_choice`: the chosen letter against the reference's."""

    letters: str = "ABCDEFGHIJ"
    """The letters that label choices."""

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.letters.isalpha() or not self.letters.isupper():
            found.append(
                f"verifier.letters={self.letters!r}: set capital letters, such as ABCD, each a "
                "choice's label"
            )
        return found


def chosen_letter(text: str, letters: str = "ABCDEFGHIJ") -> str | None:
    """The letter of `letters` that a completion or a reference chooses, None without one."""
    final = final_text(text)
    stated = stated_answer(text)
    if stated != final.strip():
        return _only_letter(stated, letters) or _said(stated, letters)
    return _said(final, letters) or _only_letter(stated, letters) or _one_label(final, letters)


def build_verifier(config: MultipleChoiceConfig, pool: WorkerPool) -> Verifier:
    """Needs no process. A reference without a letter is the grader's failure."""

    async def verify(prompt: Prompt, completion: Completion) -> Verdict:
        reference = chosen_letter(prompt.answer, config.letters)
        if reference is None:
            said = prompt.answer[:80]
            return Verdict(
                correct=None, reason=f"the reference answer {said!r} names none of {config.letters}"
            )
        if verdict := did_not_end(completion):
            return verdict
        letter = chosen_letter(completion.text, config.letters)
        reason = "" if letter else "no choice is named"
        return Verdict(correct=letter == reference, reason=reason)

    return verify


def _only_letter(answer: str, letters: str) -> str | None:
    """The letter of an answer that is one letter, or one labelled choice such as `B. Paris`."""
    match = ALONE.fullmatch(answer) or LABEL.match(answer)
    if match is None or {*_letters(LABELLED, answer, letters)} - {match["letter"].upper()}:
        return None
    letter = match["letter"].upper()
    return letter if letter in letters else None


def _said(text: str, letters: str) -> str | None:
    """The last letter that the text calls its answer, else the one option that it mentions."""
    stated = _letters(STATED, text, letters) or _letters(CONFIRMED, text, letters)
    if stated:
        return stated[-1]
    mentioned = {*_letters(MENTIONED, text, letters)}
    return mentioned.pop() if len(mentioned) == 1 else None


def _one_label(text: str, letters: str) -> str | None:
    """The letter of the one choice that a text without a statement names at the end."""
    labels = {*_letters(LABELLED, text, letters)}
    if len(labels) > 1:
        return None
    last = text.strip().rpartition("\n")[2]
    return _only_letter(last, letters)


def _letters(shape: re.Pattern[str], text: str, letters: str) -> list[str]:
    found = [match["letter"].upper() for match in shape.finditer(text)]
    return [letter for letter in found if letter in letters]
