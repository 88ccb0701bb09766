"""Thread counts of the learner's processes: set in the environment before torch reads it."""

import os

from rl.cli.machine import Machine

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def learner_threads(configured: int, machine: Machine) -> int:
    """Threads of one learner process: as configured, else an equal share of the cores.

    Learner and engine take turns, so the learner's share is of all cores.
    """
    return configured or max(1, machine.num_cores // machine.num_local_learners)


def set_learner_threads(configured: int, machine: Machine) -> int:
    """Sets the variables unless the user did, and returns the count.

    torchrun sets OMP_NUM_THREADS=1 for several processes, which is nobody's choice.
    """
    num_threads = learner_threads(configured, machine)
    by_torchrun = machine.num_local_learners > 1 and os.environ.get("OMP_NUM_THREADS") == "1"
    if not configured and not by_torchrun and "OMP_NUM_THREADS" in os.environ:
        return int(os.environ["OMP_NUM_THREADS"])
    for name in VARIABLES:
        os.environ[name] = str(num_threads)
    return num_threads
