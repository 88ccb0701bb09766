"""A process that judges: requests come in on a socket, replies go out, one at a time.

Run as a file by `rewards.pool`. It imports nothing of ours, nor math_verify, before a job that
needs it is loaded: it starts in a fraction of a second and holds neither torch nor vLLM unless a
user's function imports them. Frames are four bytes of length and msgpack; nothing is pickled.
"""

import ctypes
import resource
import signal
import socket
import sys
from collections.abc import Callable
from io import BufferedRWPair
from pkgutil import resolve_name
from typing import Any

import msgspec

Function = Callable[[bytes], object]
"""What a loader makes: msgpack in, anything that msgpack can write out."""
PR_SET_PDEATHSIG = 1


class Setup(msgspec.Struct, tag=True):
    """The first request: where modules are found, and how much memory the process may address."""

    path: list[str]
    memory_bytes: int


class Load(msgspec.Struct, tag=True):
    """Makes the function of job `job`: `loader` is `module:function`, called with `args`."""

    job: int
    loader: str
    args: dict[str, Any]


class Call(msgspec.Struct, tag=True):
    """Calls the function of job `job`."""

    job: int
    payload: bytes


class Reply(msgspec.Struct):
    """The function's value, or in `failure` what it raised."""

    value: Any = None
    failure: str = ""


Request = Setup | Load | Call


def serve(stream: BufferedRWPair) -> None:
    """Answers one request after the other until the other end closes."""
    functions: dict[int, Function] = {}
    while header := stream.read(4):
        request = msgspec.msgpack.decode(stream.read(int.from_bytes(header)), type=Request)
        stream.write(frame(attempt(functions, request)))
        stream.flush()


def attempt(functions: dict[int, Function], request: Request) -> bytes:
    """The reply to `request`, encoded; whatever user code raises is a failure with its reason."""
    try:
        return msgspec.msgpack.encode(Reply(value=_do(functions, request)), enc_hook=_scalar)
    # User code may raise anything, sys.exit() included; its classes share no base of ours.
    except (Exception, SystemExit) as error:
        return msgspec.msgpack.encode(Reply(failure=f"{type(error).__name__}: {str(error)[:300]}"))


def frame(payload: bytes) -> bytes:
    """`payload` behind its length."""
    return len(payload).to_bytes(4) + payload


def _do(functions: dict[int, Function], request: Request) -> object:
    match request:
        case Setup(path=path, memory_bytes=memory):
            sys.path[:] = path
            if memory:
                resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        case Load(job=job, loader=loader, args=args):
            functions[job] = resolve_name(loader)(**args)
        case Call(job=job, payload=payload):
            return functions[job](payload)
    return None


def _scalar(value: Any) -> object:
    """The number in a scalar of NumPy or torch; anything else cannot be sent."""
    if not callable(getattr(value, "item", None)):
        raise TypeError(f"{type(value).__name__} objects cannot be sent; return plain numbers")
    return value.item()


def _end_with_parent() -> None:
    """A worker that hangs must not outlive a run that was killed (Linux)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    _end_with_parent()
    with (
        socket.socket(fileno=int(sys.argv[1])) as parent,
        parent.makefile("rwb") as connection,
    ):
        serve(connection)
