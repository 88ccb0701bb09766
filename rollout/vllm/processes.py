"""vLLM's processes from outside: what they print, how they ended, and how to end them.

They inherit a pipe as stdout and stderr. A thread passes on what comes to this process's stderr and
keeps the last lines, so that a death can be told in the engine's own words.
"""

import multiprocessing
import os
import re
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess

import psutil

ENGINE_NAMES = ("EngineCore", "DPCoordinator", "VLLM_DP_Coordinator")
"""How vLLM names the processes that it starts from ours; workers are children of these."""

QUOTED_LINES = 6
PREFIX = re.compile(r"^(\([\w ]+ pid=\d+\) ?)?([A-Z]+ \d\d-\d\d [\d:]+ \[[^\]]*\] ?)?")
"""What vLLM writes before a line: the process, the level, the time and the source's place."""


class LastLines:
    """Keeps the last lines that processes started within `inherited` have written."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=200)

    @contextmanager
    def inherited(self) -> Iterator[None]:
        """Processes that start inside write to the pipe. What this process writes goes the same
        way meanwhile, and so to stderr."""
        reading, writing = os.pipe()
        stderr = os.dup(2)
        threading.Thread(target=self._pass_on, args=(reading, stderr), daemon=True).start()
        saved = [os.dup(1), os.dup(2)]
        _flush()
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.close(writing)
        try:
            yield
        finally:
            _flush()
            for number, descriptor in enumerate(saved, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)

    def last(self, count: int = QUOTED_LINES) -> list[str]:
        """The last lines that say something, without vLLM's prefixes."""
        said = [PREFIX.sub("", line).rstrip() for line in list(self._lines)]
        return [line for line in said if line][-count:]

    def _pass_on(self, reading: int, stderr: int) -> None:
        with open(reading, "rb") as lines:
            for line in lines:
                self._lines.append(line.decode(errors="replace"))
                with suppress(OSError):
                    os.write(stderr, line)
        os.close(stderr)


class EngineProcesses:
    """The processes of one engine that has started."""

    def __init__(self, processes: Sequence[BaseProcess], output: LastLines) -> None:
        self._processes = list(processes)
        self._output = output
        # Workers are told from a later process of the same id by the time at which they started.
        self._family = [
            member for process in self._processes for member in family(process.pid or 0)
        ]

    def death(self) -> str:
        """Which process ended, and how; empty while all live."""
        ended = [
            f"vLLM's {process.name} (process {process.pid}) {how_it_ended(exitcode)}"
            for process in self._processes
            if (exitcode := process.exitcode) is not None
        ]
        return ", ".join(ended)

    def quoted(self, what: str) -> str:
        """`what`, and the last lines that the processes wrote."""
        return with_last_lines(what, self._output)

    def kill(self) -> None:
        """SIGKILL to all, which ends stopped processes as well."""
        for member in self._family:
            with suppress(psutil.NoSuchProcess):
                member.kill()


@contextmanager
def killed_after(seconds: float) -> Iterator[threading.Event]:
    """Kills engine processes that this process has started and that are not ready `seconds` later.

    vLLM itself would wait for ever. The event tells whether that happened.
    """
    expired = threading.Event()
    older = {process.pid for process in starting()}

    def kill() -> None:
        expired.set()
        for process in starting():
            if process.pid not in older:
                process.kill()

    timer = threading.Timer(seconds, kill)
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


def starting() -> list[BaseProcess]:
    """The engine processes that this process has as children."""
    children = multiprocessing.active_children()
    return [process for process in children if process.name.startswith(ENGINE_NAMES)]


def family(pid: int) -> list[psutil.Process]:
    """Process `pid` and its descendants; none when it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def how_it_ended(exitcode: int) -> str:
    """`was killed by SIGKILL`, `ended with exit code 1`."""
    if exitcode >= 0:
        return f"ended with exit code {exitcode}"
    return f"was killed by {signal.Signals(-exitcode).name}"


def with_last_lines(what: str, output: LastLines) -> str:
    """`what`, with the engine's last lines indented below it, if it wrote any."""
    lines = output.last()
    if not lines:
        return what
    return "\n    ".join([f"{what}; its last lines:", *lines])


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
