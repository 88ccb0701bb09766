"""Runs a recipe as `torchrun recipe` does and breaks the engine at a chosen moment, by signals.

`python fault_driver.py FAULT RECIPE [override ...]`; every log line begins with the time.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from rollout.stream import Stream
from rollout.vllm.processes import starting
from rollout.vllm.transfer import EngineCycle

VERSION = 1
"""The weights at whose rollout, or after whose update, the fault strikes."""
SECONDS_INTO_ROLLOUT = 0.15

logger = logging.getLogger("rl.fault_driver")


def strike(number: int) -> None:
    for process in starting():
        logger.warning("FAULT: %s to %s", signal.Signals(number).name, process.name)
        os.kill(process.pid or 0, number)


def in_rollout(hit: Callable[[], None]) -> None:
    whole = Stream.next_batch

    def next_batch(stream: Stream, num_groups: int, version: int):
        if version == VERSION:
            threading.Timer(SECONDS_INTO_ROLLOUT, hit).start()
        return whole(stream, num_groups, version)

    Stream.next_batch = next_batch


def in_sync(hit: Callable[[], None]) -> None:
    """Strikes at the first bucket of the sync after the update of `VERSION`."""
    whole, cycles = EngineCycle.start, []
    update = EngineCycle.update

    def start(cycle: EngineCycle) -> None:
        cycles.append(cycle)
        whole(cycle)

    def update_and_hit(cycle: EngineCycle, info) -> None:
        if len(cycles) == VERSION + 2:
            cycles.append(cycle)
            hit()
        update(cycle, info)

    EngineCycle.start, EngineCycle.update = start, update_and_hit


def again_and_again() -> None:
    while True:
        strike(signal.SIGKILL)
        time.sleep(1.0)


FAULTS = {
    "none": lambda: None,
    "killed_in_rollout": lambda: in_rollout(lambda: strike(signal.SIGKILL)),
    "hung_in_rollout": lambda: in_rollout(lambda: strike(signal.SIGSTOP)),
    "killed_in_sync": lambda: in_sync(lambda: strike(signal.SIGKILL)),
    "hung_in_sync": lambda: in_sync(lambda: strike(signal.SIGSTOP)),
    "killed_again_and_again": lambda: in_rollout(
        lambda: threading.Thread(target=again_and_again, daemon=True).start()
    ),
}


if __name__ == "__main__":
    logging.basicConfig(format="%(created).2f %(message)s")
    FAULTS[sys.argv[1]]()
    from rl.cli.launch import main

    main(sys.argv[2], sys.argv[3:])
