"""Comparing two LaTeX answers by math_verify; runs in a worker process, since sympy may not end.

Answers are parsed by a grammar; nothing in them is evaluated as Python.
"""

import logging
from collections.abc import Callable

import msgspec
from math_verify import LatexExtractionConfig, parse, verify

EXTRACTION = [LatexExtractionConfig(boxed_match_priority=0, try_extract_without_anchor=False)]


def load() -> Callable[[bytes], bool]:
    """What a worker calls with [reference, answer]."""
    be_quiet()
    pair = msgspec.msgpack.Decoder(tuple[str, str])
    return lambda payload: equal(*pair.decode(payload))


def be_quiet() -> None:
    """Silences what math_verify logs about every answer that it cannot read."""
    for name in ("math_verify", "latex2sympy2_extended"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def equal(reference: str, answer: str) -> bool:
    """Whether math_verify finds the two LaTeX expressions equal; raises when it cannot tell."""
    gold = _parsed(reference)
    if not gold:
        raise ValueError(f"the reference answer {reference[:80]!r} cannot be read")
    return bool(verify(gold, _parsed(answer), timeout_seconds=None, raise_on_error=True))


def _parsed(latex: str) -> list[object]:
    return list(parse(f"\\boxed{{{latex}}}", EXTRACTION, parsing_timeout=None, raise_on_error=True))
