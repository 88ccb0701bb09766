"""A user's module of gates for whole updates, some of which fail, each in its own way."""

import os
import random
import signal
import time

import numpy as np

updates = 0


def some_right(groups, verdicts):
    return [any(v.correct for v in judged) for judged in verdicts]


def as_numpy(groups, verdicts):
    return np.array(some_right(groups, verdicts))


def longest_below(tokens):
    return lambda groups, verdicts: [max(group.lengths) < tokens for group in groups]


def every_second(groups, verdicts):
    """Lets everything through in every second update."""
    global updates
    updates += 1
    return [updates % 2 == 0] * len(groups)


def drawn(groups, verdicts):
    """Chooses by python's and numpy's global generators."""
    return [random.random() + np.random.random() < 1 for _ in groups]


def one_too_few(groups, verdicts):
    return some_right(groups, verdicts)[1:]


def shares(groups, verdicts):
    return [0.5 for _ in groups]


def per_completion(groups, verdicts):
    return [[True] * len(group.completions) for group in groups]


def nothing(groups, verdicts):
    return None


def raises(groups, verdicts):
    raise KeyError("length")


def hangs(groups, verdicts):
    time.sleep(600)


def dies(groups, verdicts):
    os.kill(os.getpid(), signal.SIGKILL)
