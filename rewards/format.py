"""The format check: thinking that is closed once, then an answer in a closed box."""

from data.types import Completion, Finish
from rewards.answers import END_OF_THINKING, boxed_answer

START_OF_THINKING = "<think>"


def well_formed(text: str) -> bool:
    r"""Whether `text` is [`<think>`] thinking `</think>` answer, with a closed `\boxed{}` in it.

    Templates of reasoning models write `<think>` into the prompt, so it need not stand in the text;
    where it does, it stands first and once (DeepSeek-R1, arXiv:2501.12948, section 2.2.2).
    """
    body = text.lstrip().removeprefix(START_OF_THINKING)
    closed_once = body.count(END_OF_THINKING) == 1 and START_OF_THINKING not in body
    return closed_once and bool(boxed_answer(body))


def format_part(completion: Completion, weight: float) -> float:
    """`weight` for a well-formed completion that ended by itself, else 0."""
    return weight * (completion.finish is Finish.STOP and well_formed(completion.text))
