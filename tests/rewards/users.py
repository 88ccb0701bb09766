"""A user's module of judging functions, some of which fail, each in its own way."""

import os
import signal
import sys
import time

import numpy as np

STATE = {"calls": 0}


def is_seven(prompt, completion):
    return completion.text.endswith("7")


def num_words(prompt, completion):
    return len(completion.text.split())


def numpy_half(prompt, completion):
    return np.float32(0.5)


def beyond(words):
    return lambda prompt, completion: len(completion.text.split()) > words


def trl_length(prompts, completions, answer, **columns):
    return [len(c[0]["content"]) + len(a) for c, a in zip(completions, answer, strict=True)]


def trl_does_not_apply(completions, **columns):
    return [None]


def hangs(prompt, completion):
    while True:
        time.sleep(1)


def spins(prompt, completion):
    return 9 ** (9 ** (9**9))


def dies(prompt, completion):
    os.kill(os.getpid(), signal.SIGKILL)


def leaves(prompt, completion):
    sys.exit("enough")


def raises(prompt, completion):
    raise ZeroDivisionError("no tokens")


def nan(prompt, completion):
    return float("nan")


def infinite(prompt, completion):
    return float("inf")


def trl_two(completions, **columns):
    return [1.0, 0.0]


def text(prompt, completion):
    return "right"


def nothing(prompt, completion):
    return None


def an_object(prompt, completion):
    return object()


def half(prompt, completion):
    return 0.5


def hangs_on_hang(prompt, completion):
    if completion.text == "hang":
        hangs(prompt, completion)
    return True


def counts_calls(prompt, completion):
    STATE["calls"] += 1
    return STATE["calls"]
