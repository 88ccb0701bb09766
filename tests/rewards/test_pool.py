"""Each fault of a worker is real: it sleeps, spins, is killed, leaves, or cannot start."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import msgspec
import pytest

from data.wire import encode
from rewards.functions import function_job
from rewards.pool import WORKER, AnswerFailed, Job, PoolError
from tests.rewards.groups import completion, prompt
from tests.rewards.pools import with_own_pool, with_pool

PAYLOAD = encode((prompt("p"), completion("c", 3, "it is 7")))
TYPE_OF = Job(loader="tests.rewards.test_pool:load_echo")


def load_echo():
    return lambda payload: msgspec.msgpack.decode(payload)


def job(name):
    return function_job("verifier.target", f"tests.rewards.users.{name}")


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids(pool):
    return [worker.process.pid for worker in pool._workers]


def test_a_worker_answers_what_it_is_asked():
    async def ask(pool):
        return [await pool.ask(TYPE_OF, msgspec.msgpack.encode(value)) for value in (1, "a", [2])]

    assert with_pool(ask) == [1, "a", [2]]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("hangs", r"timed out: no result within 0\.3 s"),
        ("spins", r"timed out|died|MemoryError"),
        ("dies", r"died: the worker process ended by signal 9 \(SIGKILL\)"),
        ("leaves", r"raised SystemExit: enough"),
        ("raises", r"raised ZeroDivisionError: no tokens"),
        ("an_object", r"raised TypeError: .*object"),
    ],
)
def test_an_answer_without_a_result_fails_alone_and_the_next_is_judged(fault, reason):
    async def ask(pool):
        bad, good = job(fault), job("is_seven")
        with pytest.raises(AnswerFailed, match=reason):
            await pool.ask(bad, PAYLOAD, seconds=0.3 if fault in ("hangs", "spins") else None)
        return await pool.ask(good, PAYLOAD)

    assert with_pool(ask) is True


def test_a_hanging_answer_stalls_none_of_the_others():
    async def ask(pool):
        judge = job("hangs_on_hang")
        await pool.check([judge])
        hanging = asyncio.create_task(
            pool.ask(judge, encode((prompt("p"), completion("c", 1, "hang"))))
        )
        await asyncio.sleep(0)
        others = await asyncio.gather(*(pool.ask(judge, PAYLOAD) for _ in range(50)))
        still_hanging = not hanging.done()
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        return others, still_hanging

    assert with_own_pool(ask, workers=2, timeout_seconds=60) == ([True] * 50, True)


def test_a_worker_that_was_killed_while_idle_costs_no_answer():
    async def ask(pool):
        judge = job("is_seven")
        await pool.ask(judge, PAYLOAD)
        [first] = pids(pool)
        os.kill(first, signal.SIGKILL)
        while pool._workers and next(iter(pool._workers)).process.poll() is None:
            await asyncio.sleep(0.01)
        result = await pool.ask(judge, PAYLOAD)
        return result, pids(pool) != [first]

    assert with_own_pool(ask) == (True, True)


def test_a_cancelled_answer_leaves_no_reply_behind_for_the_next():
    async def ask(pool):
        sleeping = asyncio.create_task(pool.ask(job("hangs"), PAYLOAD))
        await asyncio.sleep(0.1)
        sleeping.cancel()
        await asyncio.gather(sleeping, return_exceptions=True)
        return await pool.ask(TYPE_OF, msgspec.msgpack.encode("mine"))

    assert with_pool(ask) == "mine"


def test_a_worker_keeps_its_state_from_one_answer_to_the_next():
    async def ask(pool):
        counts = job("counts_calls")
        return [await pool.ask(counts, PAYLOAD) for _ in range(3)]

    assert with_pool(ask) == [1, 2, 3]


def test_closing_the_pool_ends_its_processes():
    async def ask(pool):
        await pool.ask(job("is_seven"), PAYLOAD)
        return pids(pool)

    assert not any(alive(pid) for pid in with_own_pool(ask))


def test_a_worker_that_hangs_does_not_outlive_a_killed_run(tmp_path):
    code = f"""
        import asyncio, sys
        from pathlib import Path
        from tests.rewards.test_pool import PAYLOAD, job
        from rewards.pool import WorkerPool

        async def main():
            pool = WorkerPool(workers=1, timeout_seconds=600, memory_gib=4)
            await pool.check([job("hangs")])
            [worker] = pool._workers
            Path({str(tmp_path / "pid")!r}).write_text(str(worker.process.pid) + ".")
            await pool.ask(job("hangs"), PAYLOAD)

        asyncio.run(main())
    """
    run = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=Path.cwd())
    pid_file = tmp_path / "pid"
    while not (pid_file.is_file() and pid_file.read_text().endswith(".")):
        time.sleep(0.05)
        assert run.poll() is None
    time.sleep(0.2)
    run.kill()
    run.wait()
    pid = int(pid_file.read_text().rstrip("."))
    deadline = time.monotonic() + 20
    while _running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running(pid)


def _running(pid):
    """Whether the process runs; one that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_processes_that_cannot_start_are_one_clear_message(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(PoolError, match=r"does not start \(died: .*exit code 1\): /bin/false"):
        with_own_pool(lambda pool: pool.ask(TYPE_OF, b""))


def test_an_interpreter_that_is_not_there_is_the_same_message(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(PoolError, match=r"does not start .*No such file"):
        with_own_pool(lambda pool: pool.check([TYPE_OF]))


def test_code_that_cannot_be_loaded_says_what_to_set():
    bad = function_job("verifier.target", "no_such_module.judge")
    with pytest.raises(PoolError, match=r"verifier\.target=no_such_module\.judge: cannot be impo"):
        with_pool(lambda pool: pool.check([bad]))


def test_seconds_of_judging_are_summed():
    async def ask(pool):
        before = pool.busy_seconds
        with pytest.raises(AnswerFailed):
            await pool.ask(job("hangs"), PAYLOAD, seconds=0.1)
        return pool.busy_seconds - before

    assert 0.1 <= with_pool(ask) < 10


def test_memory_of_a_worker_is_bounded():
    hog = Job(loader="tests.rewards.test_pool:load_hog")
    with pytest.raises(AnswerFailed, match="MemoryError"):
        with_pool(lambda pool: pool.ask(hog, b""))


def load_hog():
    return lambda payload: len(bytearray(5 << 30))


def test_a_worker_loads_neither_torch_nor_vllm_nor_ours():
    code = (
        f"import runpy, sys; runpy.run_path({str(WORKER)!r}); "
        "print([m for m in ('torch', 'vllm', 'data', 'math_verify') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr
