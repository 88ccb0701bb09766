"""SIGTERM and SIGINT: the run stops where it can be resumed; a second signal ends it at once.

Until `protect()` there is nothing to keep, and the first signal ends the process. From then on it
raises `Interrupted` inside `allowed()`, where nothing is lost by leaving (a rollout, an
evaluation); anywhere else the phase is finished first, and the next `allowed()` raises.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType, TracebackType
from typing import Any, Self

import psutil

from rl.errors import INTERRUPTED, Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT)
ECHO_SECONDS = 1.0
"""A terminal and a launcher may both send the first signal; what follows so soon is the same."""


class Interrupts:
    """Handles the signals while entered; to be entered in the main thread."""

    def __init__(self) -> None:
        self.signal = ""
        """The name of the first signal; empty before it."""
        self._protected = False
        self._allowed = False
        self._handlers: dict[signal.Signals, Any] = {}
        self._ours, self._theirs = socket.socketpair()

    def __enter__(self) -> Self:
        # A main thread inside C++ code (a collective that waits) runs no handler in Python; the
        # socket hears of every signal all the same.
        self._theirs.setblocking(False)
        signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="signals", daemon=True).start()
        self._handlers = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        self._theirs.close()

    def protect(self) -> None:
        """From now on there is something to save."""
        self._protected = True

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Inside, a signal raises `Interrupted` at once; one that came before raises on entry."""
        self._allowed = True
        try:
            if self.signal:
                raise Interrupted(self.signal)
            yield
        finally:
            self._allowed = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            return
        self.signal = signal.Signals(number).name
        if self._allowed:
            raise Interrupted(self.signal)

    def _watch(self) -> None:
        first = None
        while heard := self._ours.recv(1):
            if heard[0] not in SIGNALS:
                continue
            if not self._protected:
                end_now(
                    f"laconic: {signal.Signals(heard[0]).name} before the first step", INTERRUPTED
                )
            if first is None:
                first = monotonic()
            elif monotonic() - first > ECHO_SECONDS:
                end_now("laconic: a second signal: ended at once", 128 + heard[0])
        self._ours.close()


def end_now(message: str, code: int) -> None:
    """Ends this process and its children, whatever they are doing."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(code)
