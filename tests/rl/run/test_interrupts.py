"""Signals, sent to a process that uses `Interrupts` as the loop does."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys, time
from rl.errors import Interrupted
from rl.run.interrupts import Interrupts

def wait(seconds):
    # Ends early for no signal: Python goes on sleeping after a handler that returns.
    time.sleep(seconds)

with Interrupts() as interrupts:
    if sys.argv[1] != "starting":
        interrupts.protect()
    try:
        if sys.argv[1] == "allowed":
            with interrupts.allowed():
                print("ready", flush=True)
                wait(30)
        print("ready", flush=True)
        wait(float(sys.argv[2]))
        print("phase finished", flush=True)
        with interrupts.allowed():
            print("not reached", flush=True)
    except Interrupted as error:
        print("left by", error, flush=True)
"""


def signalled(mode: str, *signals: tuple[float, int], phase: float = 0.3) -> tuple[int, str, float]:
    """Exit code, output, seconds after the first signal; each signal comes after its delay."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, mode, str(phase)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    start = time.monotonic()
    for delay, number in signals:
        time.sleep(delay)
        process.send_signal(number)
    output = process.stdout.read()
    return process.wait(), output, time.monotonic() - start


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_phase_that_may_be_left_is_left_at_once(number: signal.Signals) -> None:
    code, output, seconds = signalled("allowed", (0, number))
    assert (code, output) == (0, f"left by {number.name}\n")
    assert seconds < 10


def test_any_other_phase_is_finished_first() -> None:
    code, output, _ = signalled("held", (0, signal.SIGTERM))
    assert (code, output) == (0, "phase finished\nleft by SIGTERM\n")


def test_the_echo_of_a_signal_is_not_a_second_one() -> None:
    code, output, _ = signalled("held", (0, signal.SIGINT), (0.05, signal.SIGTERM))
    assert (code, output) == (0, "phase finished\nleft by SIGINT\n")


def test_a_second_signal_ends_the_process_at_once() -> None:
    code, output, seconds = signalled("held", (0, signal.SIGTERM), (1.2, signal.SIGTERM), phase=30)
    assert (code, output) == (143, "laconic: a second signal: ended at once\n")
    assert seconds < 15


def test_before_there_is_anything_to_save_the_first_signal_ends_it() -> None:
    code, output, _ = signalled("starting", (0, signal.SIGTERM), phase=30)
    assert (code, output) == (75, "laconic: SIGTERM before the first step\n")
