import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from rollout.vllm.processes import (
    EngineProcesses,
    LastLines,
    how_it_ended,
    killed_after,
    with_last_lines,
)

VLLM_LINE = "(EngineCore pid=12) ERROR 11-21 05:00:01 [core.py:1] No memory left"


def write(text):
    subprocess.run([sys.executable, "-c", f"import os; os.write(2, {text.encode()!r})"], check=True)


def heard(output, count=6):
    """The lines, which come through a thread, within a second."""
    for _ in range(100):
        if output.last(count):
            break
        time.sleep(0.01)
    return output.last(count)


def test_last_lines_of_a_process_are_kept_without_prefixes_and_still_reach_stderr(capfd):
    output = LastLines()
    with output.inherited():
        write(f"first\n\n{VLLM_LINE}\n")
    assert heard(output) == ["first", "No memory left"]
    assert output.last(1) == ["No memory left"]
    assert capfd.readouterr().err == f"first\n\n{VLLM_LINE}\n"


def test_what_is_written_afterwards_goes_its_usual_way(capfd):
    output = LastLines()
    with output.inherited():
        write("inside\n")
    write("outside\n")
    assert heard(output) == ["inside"]
    assert "outside\n" in capfd.readouterr().err


def test_last_lines_stand_indented_below_what_happened():
    output = LastLines()
    assert with_last_lines("it died", output) == "it died"
    output._lines.extend(["one\n", "two\n"])
    assert with_last_lines("it died", output) == "it died; its last lines:\n    one\n    two"


@pytest.mark.parametrize(
    ("exitcode", "text"), [(-9, "was killed by SIGKILL"), (1, "ended with exit code 1")]
)
def test_an_exit_code_is_told_in_words(exitcode, text):
    assert how_it_ended(exitcode) == text


@pytest.fixture
def sleeper():
    process = multiprocessing.get_context("fork").Process(
        target=time.sleep, args=(60,), name="EngineCore"
    )
    yield process
    if process.is_alive():
        process.kill()
        process.join()


def test_a_stopped_process_is_killed_and_its_death_named(sleeper):
    sleeper.start()
    engine = EngineProcesses([sleeper], LastLines())
    assert engine.death() == ""
    os.kill(sleeper.pid, signal.SIGSTOP)
    engine.kill()
    sleeper.join(5)
    assert engine.death() == f"vLLM's EngineCore (process {sleeper.pid}) was killed by SIGKILL"


def test_a_process_that_is_not_ready_in_time_is_killed(sleeper):
    with killed_after(0.05) as expired:
        sleeper.start()
        sleeper.join(5)
    assert expired.is_set() and sleeper.exitcode == -9


def test_a_process_that_is_ready_in_time_lives_on(sleeper):
    with killed_after(30) as expired:
        sleeper.start()
    assert not expired.is_set() and sleeper.is_alive()
