"""A process that compares answers: requests come in on a socket, verdicts go out.

Run as a file by `rewards.verify`, one answer at a time in the main thread. It imports math_verify
and nothing of ours, so that it starts in a fraction of a second and holds neither torch nor vLLM.
Answers are parsed as LaTeX by a grammar; nothing in them is evaluated as Python.
"""

import logging
import resource
import socket
import sys

import msgspec
from math_verify import LatexExtractionConfig, parse, verify

MEMORY_BYTES = 4 << 30
"""Address space of a worker: an answer such as 9^{9^{9^9}} must not take the machine down."""
EXTRACTION = [LatexExtractionConfig(boxed_match_priority=0, try_extract_without_anchor=False)]


def equal(reference: str, answer: str) -> bool:
    """Whether math_verify finds the two LaTeX expressions equal; raises when it cannot tell."""
    gold = _parsed(reference)
    if not gold:
        raise ValueError(f"the reference answer {reference[:80]!r} cannot be read")
    return bool(verify(gold, _parsed(answer), timeout_seconds=None, raise_on_error=True))


def serve(connection: socket.socket) -> None:
    """Answers [reference, answer] with [equal or nil, reason], lengths first, until the end."""
    stream = connection.makefile("rwb")
    while header := stream.read(4):
        reference, answer = msgspec.msgpack.decode(
            stream.read(int.from_bytes(header)), type=tuple[str, str]
        )
        payload = msgspec.msgpack.encode(_judged(reference, answer))
        stream.write(len(payload).to_bytes(4) + payload)
        stream.flush()


def _judged(reference: str, answer: str) -> tuple[bool | None, str]:
    try:
        return equal(reference, answer), ""
    except (Exception, RecursionError, MemoryError) as error:
        return None, f"{type(error).__name__}: {str(error)[:200]}"


def _parsed(latex: str) -> list[object]:
    return list(parse(f"\\boxed{{{latex}}}", EXTRACTION, parsing_timeout=None, raise_on_error=True))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    with socket.socket(fileno=int(sys.argv[1])) as parent:
        serve(parent)
