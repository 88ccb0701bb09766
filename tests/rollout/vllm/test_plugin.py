import multiprocessing
import os
import signal
import time

import pytest

from rollout.vllm import plugin


def engine(launcher, pids):
    """A process as vLLM's engine is: started by the launcher, and busy with something else."""
    plugin.end_with(launcher)
    plugin.end_with(launcher)
    pids.put(os.getpid())
    time.sleep(60)


def launch(pids):
    context = multiprocessing.get_context("spawn")
    context.Process(target=engine, args=(os.getpid(), pids)).start()
    time.sleep(60)


def test_engine_process_ends_when_its_launcher_is_killed():
    context = multiprocessing.get_context("spawn")
    pids = context.Queue()
    launcher = context.Process(target=launch, args=(pids,))
    launcher.start()
    orphan = pids.get(timeout=50)
    assert os.getpgid(orphan) == orphan, "a signal to the launcher's group would reach the engine"
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.join()
    end = time.monotonic() + 20
    while is_alive(orphan):
        assert time.monotonic() < end, "the engine outlived its launcher"
        time.sleep(0.05)


def is_alive(pid):
    """False for a process that is gone or a zombie that nobody has waited for."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False


def test_plugin_does_nothing_without_our_launcher(monkeypatch):
    monkeypatch.delenv("LACONIC_VLLM_PLUGIN", raising=False)
    monkeypatch.setattr(plugin, "end_with", lambda launcher: pytest.fail("acted"))
    plugin.register()


@pytest.mark.parametrize(
    ("version", "supported"), [("0.32.0", True), ("0.32.0+cpu", True), ("0.32.1", False)]
)
def test_versions_are_named_exactly(version, supported):
    assert plugin.is_supported(version) is supported
