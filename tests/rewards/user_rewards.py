"""A user's module of rewards for whole updates, some of which fail, each in its own way."""

import os
import random
import signal
import time

import numpy as np

from data.types import Score

updates = 0


def scores(groups, value):
    return [
        [Score(correct=True, parts={"mine": value}, total=value) for _ in group.completions]
        for group in groups
    ]


def counting(groups, verdicts):
    global updates
    updates += 1
    return scores(groups, float(updates))


def constant(value):
    return lambda groups, verdicts: scores(groups, value)


def hangs(groups, verdicts):
    time.sleep(600)


def dies(groups, verdicts):
    os.kill(os.getpid(), signal.SIGKILL)


def raises(groups, verdicts):
    raise KeyError("length")


def nan(groups, verdicts):
    return scores(groups, float("nan"))


def too_few(groups, verdicts):
    return [row[:1] for row in scores(groups, 1.0)]


def numbers(groups, verdicts):
    return [[1.0] * len(group.completions) for group in groups]


def drawn(groups, verdicts):
    """Scores from python's and numpy's global generators."""
    return scores(groups, random.random() + np.random.random())
