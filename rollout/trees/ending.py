"""When a path that could go on is over all the same: its answer stands, or it repeats itself.

Tested at the end of each segment over its text and that of the segment before it: whatever is no
longer than a segment is seen whole, across their boundary too.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping

from data.types import Finish
from rollout.continuation import Decode
from rollout.trees.segments import Segments, token_ids

PIECE_CHARACTERS = 32
MOST_PIECES = 8
SUFFIX_SEGMENTS = 2
BRACES = re.compile(r"(?P<box>\\boxed\{)|\\.|[{}]", re.DOTALL)
"""The start of a box, an escaped character, which is no brace, or a brace."""

TextTests = Mapping[Callable[[str], bool], Finish]
"""What is looked for, in order, and how a response in which it is found has ended."""


def finish_by_text(segments: Segments, tests: TextTests, decode: Decode) -> Finish | None:
    """The finish of the first of `tests` that finds something, None when the path goes on.

    All sampled tokens are kept, those behind the answer too: each has its log-prob, and lengths
    stay what the engine worked for.
    """
    if not tests:
        return None
    text = decode(token_ids(segments[-SUFFIX_SEGMENTS:]))
    return next((finish for found, finish in tests.items() if found(text)), None)


def closed_box(text: str) -> bool:
    r"""Whether a `\boxed{...}` ends in `text`; braces inside it balance."""
    opened: list[bool] = []
    for brace in BRACES.finditer(text):
        if brace["box"] or brace[0] == "{":
            opened.append(bool(brace["box"]))
        elif brace[0] == "}" and opened and opened.pop():
            return True
    return False


def repeats(text: str) -> bool:
    """Whether some 32 characters occur 8 times or more without overlap.

    TreePO's released test; overlapping occurrences would make a line of 39 dashes a loop.
    """
    times: Counter[str] = Counter()
    free_from: dict[str, int] = {}
    for start in range(len(text) - PIECE_CHARACTERS + 1):
        piece = text[start : start + PIECE_CHARACTERS]
        if start >= free_from.get(piece, 0):
            free_from[piece] = start + PIECE_CHARACTERS
            times[piece] += 1
            if times[piece] == MOST_PIECES:
                return True
    return False
