r"""Where the answer stands in a completion's text: after the thinking, in `\boxed{}`, in a tag.

Pure functions of text, each linear in its length: a model may write whatever it likes.
"""

import re

from data.types import Completion, Finish, Verdict

MARK = re.compile(r"(?P<box>\\+boxed\{)|\\.|[{}]", re.DOTALL)
"""The start of a box, an escaped character, which is no brace, or a brace."""
END_OF_THINKING = "</think>"

NO_BOX = Verdict(correct=False, reason="no boxed answer")


def final_text(text: str) -> str:
    """What follows the last `</think>`: the answer without the thinking; all where none stands."""
    return text.rpartition(END_OF_THINKING)[2]


def boxed_answer(text: str) -> str | None:
    r"""The content of the last closed `\boxed{...}` after the last `</think>`, None without one."""
    final = final_text(text)
    best: tuple[int, int] | None = None
    boxes: list[int | None] = []
    for mark in MARK.finditer(final):
        if mark["box"] or mark[0] == "{":
            boxes.append(mark.end() if mark["box"] else None)
        elif mark[0] == "}" and boxes:
            start = boxes.pop()
            if start is not None and (best is None or start > best[0]):
                best = start, mark.start()
    return final[slice(*best)].strip() if best else None


def stated_answer(text: str) -> str:
    r"""The answer in the last `\boxed{}`, else in the last `<answer>` tag, else the final text."""
    boxed = boxed_answer(text)
    if boxed is not None:
        return boxed
    final = final_text(text)
    _, opened, tagged = final.rpartition("</answer>")[0].rpartition("<answer>")
    return (tagged if opened else final).strip()


def did_not_end(completion: Completion) -> Verdict | None:
    """'Wrong' for a completion that did not end by itself, else None.

    Methods and benchmarks count a truncated answer so, even where a box stands in it.
    """
    if completion.finish is Finish.STOP:
        return None
    return Verdict(correct=False, reason=f"ended by {completion.finish.value}")
