"""Errors that end a run with one line instead of a traceback; imports nothing heavy."""


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written or used; the message names the one that is in force."""


class NoBatchError(RuntimeError):
    """Dynamic sampling drops nearly every group; the message says what to set."""


class RankError(RuntimeError):
    """A process of the learner is gone; the message says in which command it was missed."""


class Interrupted(BaseException):
    """SIGTERM or SIGINT asked the run to stop; the message says how to go on."""


INTERRUPTED = 75
"""Exit code of a run that a signal ended in good order (EX_TEMPFAIL of sysexits.h: try again)."""
