"""Did the method work? One line from the paired change of tokens and of accuracy."""

from dataclasses import dataclass
from typing import Literal

from rl.evaluate.comparison import Comparison
from rl.evaluate.figures import Estimate

Kind = Literal["good", "mixed", "open", "bad"]

TOLERATED_LOSS = 0.01
"""A fall of the accuracy by this share of all answers, one point, still counts as keeping it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    kind: Kind
    words: str


def verdict(change: Comparison) -> Verdict:
    """Words for a change; each claim holds for the whole 95 % interval, not for its middle.

    good   shorter, and more accurate or no less by a point
    mixed  shorter but less accurate, or more accurate but not shorter
    open   shorter, and the evaluation is too small to tell what became of the accuracy
    bad    neither
    """
    tokens, accuracy = change.token_ratio, change.change["accuracy"]
    if tokens.high < 1:
        return _shorter(accuracy)
    length = "longer" if tokens.low > 1 else "not shorter"
    if accuracy.low > 0:
        return Verdict("mixed", f"More accurate, but {length}")
    return Verdict("bad", f"{length.capitalize()}, and not more accurate")


def _shorter(accuracy: Estimate) -> Verdict:
    if accuracy.low > 0:
        return Verdict("good", "Shorter and more accurate")
    if accuracy.low >= -TOLERATED_LOSS:
        return Verdict("good", "Shorter, accuracy kept within a point")
    if accuracy.high < 0:
        return Verdict("mixed", "Shorter, but less accurate")
    return Verdict("open", "Shorter; too few problems to tell whether accuracy was kept")
