"""`laconic doctor` on the machine: disk, memory, cores, shared memory, ports."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psutil

from rl.cli.finding import GIB, MIB, Finding, amount, failure, good, warning
from rl.cli.machine import Machine
from rl.cli.threads import learner_threads
from rl.run.folder import RUNS
from rollout.vllm.environment import num_engine_threads

RUN_DISK = 200 * MIB
"""The quickstart's folder with its checkpoints, five times over."""

RUN_MEMORY = 4 * GIB
"""Learner, engine and verifiers of the quickstart."""

SHARED_MEMORY = 64 * MIB
"""One bucket of weights on its way to the engine (`rollout.sync_bucket_mib`)."""

TORCHRUN_PORT = 29500
CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def disk(folder: Path = RUNS) -> Finding:
    """Room and the right to write where runs are kept; writes and removes one file."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    try:
        with tempfile.NamedTemporaryFile(dir=place):
            pass
    except OSError as error:
        mend = "mend its permissions, or set run.dir to another folder"
        return failure("disk", f"{place.absolute()} cannot be written ({error.strerror})", mend)
    free = shutil.disk_usage(place).free
    text = f"{amount(free)} free in {place.absolute()}"
    if free < RUN_DISK:
        mend = f"free {amount(RUN_DISK)}, or set run.dir to another disk"
        return failure("disk", text, mend)
    if free < 10 * GIB:
        return warning("disk", text, "enough for the lab; checkpoints of a 1.5B model want 25 GiB")
    return good("disk", text)


def memory(limits: Iterable[Path] = CGROUP_LIMITS) -> Finding:
    """What is free for the quickstart, a container's limit included."""
    free = min(psutil.virtual_memory().available, *container_limits(limits))
    text = f"{amount(free)} free, the quickstart takes {amount(RUN_MEMORY)}"
    if free < RUN_MEMORY:
        return failure("memory", text, "end other programs, or raise the container's limit")
    return good("memory", text)


def container_limits(limits: Iterable[Path]) -> list[float]:
    """The container's limits in bytes; a file that holds none counts as no limit."""
    texts = [path.read_text().strip() for path in limits if path.is_file()]
    return [float(text) for text in texts if text.isdigit()] or [float("inf")]


def cores(machine: Machine, load: float | None = None) -> Finding:
    """Cores, the threads that a run would take, and whether others are using them."""
    load = os.getloadavg()[0] if load is None else load
    threads = f"learner {learner_threads(0, machine)}, engine {num_engine_threads(0)}"
    text = f"{machine.num_cores} for this process; threads: {threads}; load {load:.1f}"
    if "OMP_NUM_THREADS" in os.environ:
        text += f"; OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']} wins for the learner"
    if load > machine.num_cores:
        return warning("cores", text, "others use them: a step may take ten times as long")
    return good("cores", text)


def shared_memory(folder: Path = Path("/dev/shm")) -> Finding:
    """Room for weights on their way from the learner to the engine."""
    if not folder.is_dir():
        return failure("shared memory", f"there is no {folder}", "mount a tmpfs there")
    free = shutil.disk_usage(folder).free
    if free < SHARED_MEMORY:
        mend = "start the container with --shm-size=1g, or lower rollout.sync_bucket_mib"
        return failure("shared memory", f"{amount(free)} free in {folder}", mend)
    return good("shared memory", f"{amount(free)} free in {folder}")


def loopback() -> Finding:
    """Whether this process can talk to itself, as learner processes and the verifiers do."""
    try:
        server = socket.create_server(("127.0.0.1", 0))
        with server, socket.create_connection(server.getsockname(), timeout=5):
            server.accept()[0].close()
        socket.getaddrinfo(socket.gethostname(), None)
    except OSError as error:
        mend = "allow loopback, and give the host's name a line in /etc/hosts"
        return failure("loopback", f"a connection to 127.0.0.1 failed ({error})", mend)
    return good("loopback", f"127.0.0.1 and the name {socket.gethostname()} answer")


def torchrun_port(port: int = TORCHRUN_PORT) -> Finding:
    """The port at which torchrun's processes meet unless told otherwise."""
    try:
        with socket.create_server(("127.0.0.1", port)):
            return good("torchrun", f"port {port} is free")
    except OSError:
        mend = "another torchrun holds it: add --master-port 29501, or --standalone"
        return warning("torchrun", f"port {port} is taken", mend)
