"""The lab's task: chains of digit operations modulo 10, with short and long written reasoning.

Flow: `random_problem` -> `question` (what the user asks) -> `minimal_trace` or `verbose_trace`
(what a response looks like). Every operation is a bijection of the ten digits, so the answer is
uniform and guessing scores 10 percent. Nothing here depends on a tokenizer; responses end without
the end token.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

LABELS = "abcdefghijklmnopqrstuvwxyz"
OPERANDS = {"+": range(1, 10), "-": range(1, 10), "*": (3, 7, 9)}
HELD_OUT_SHARE = 1 / 8
SHORT_LEVELS = range(1, 10)
LONG_LEVELS = range(5, 26)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One labelled operation of a chain, such as `b*3`."""

    label: str
    symbol: str
    operand: int

    def __str__(self) -> str:
        return f"{self.label}{self.symbol}{self.operand}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A start digit and the operations to apply to it in order."""

    start: int
    operations: tuple[Operation, ...]

    @property
    def level(self) -> int:
        """Difficulty: the number of operations."""
        return len(self.operations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How a model that overthinks, and that is not quite reliable, writes its traces.

    A trace is minimal with probability `minimal`, merely wordy (values are restated) with
    probability `wordy`; otherwise it also checks itself several times, which makes the heavy tail.
    Its digits are decided once, so that checking never corrects a mistake: length does not buy
    accuracy.
    """

    minimal: float
    wordy: float
    restate_when_wordy: float
    restate_when_checking: float
    fewest_checks: int
    most_checks: int
    abandoned_checks: float
    """Share of the checks, the last one excepted, that break off after some step."""
    slips: float = 0.0
    """Share of the steps whose digit is a random wrong one: what sampling noise adds."""
    lapses: float = 0.0
    """Share of the traces that remember `MISREMEMBERED` wrongly: above a half, greedy does too."""


MISREMEMBERED = ("*", 7, 8)
"""Symbol, operand and value of one fact that the untrained model often has wrong: 7 times 8."""
REMEMBERED_AS = 4

SHORT_HABITS = Habits(
    minimal=0.21,
    wordy=0.48,
    restate_when_wordy=0.9,
    restate_when_checking=0.25,
    fewest_checks=6,
    most_checks=8,
    abandoned_checks=0.2,
    slips=0.008,
    lapses=0.6,
)
LONG_HABITS = Habits(
    minimal=0.24,
    wordy=0.45,
    restate_when_wordy=0.9,
    restate_when_checking=0.9,
    fewest_checks=7,
    most_checks=9,
    abandoned_checks=0.15,
    slips=0.001,
    lapses=0.6,
)


def apply(operation: Operation, value: int) -> int:
    """The digit that the operation makes of a digit."""
    match operation.symbol:
        case "+":
            return (value + operation.operand) % 10
        case "-":
            return (value - operation.operand) % 10
        case "*":
            return value * operation.operand % 10
    raise ValueError(f"symbol={operation.symbol!r} is none of {', '.join(OPERANDS)}")


def values(problem: Problem) -> list[int]:
    """The digit after each operation."""
    digits = []
    value = problem.start
    for operation in problem.operations:
        value = apply(operation, value)
        digits.append(value)
    return digits


def answer(problem: Problem) -> int:
    """The digit after the last operation."""
    return values(problem)[-1]


def question(problem: Problem) -> str:
    """The problem as a user states it; one problem, one text."""
    chain = " ".join(str(operation) for operation in problem.operations)
    return f"Start with {problem.start} and work modulo 10: {chain}. What is the result?"


def random_problem(rng: random.Random, level: int) -> Problem:
    """A uniform start digit and `level` operations, labelled onwards from a random letter."""
    first = rng.randrange(len(LABELS) - level + 1)
    operations = [_random_operation(rng, label) for label in LABELS[first : first + level]]
    return Problem(start=rng.randrange(10), operations=tuple(operations))


def _random_operation(rng: random.Random, label: str) -> Operation:
    symbol = rng.choice(list(OPERANDS))
    return Operation(label=label, symbol=symbol, operand=rng.choice(OPERANDS[symbol]))


def is_held_out(problem: Problem) -> bool:
    """Whether the problem is kept for evaluation: a hash of its text decides, whoever draws it."""
    digest = hashlib.sha256(question(problem).encode()).digest()
    return int.from_bytes(digest[:8]) < HELD_OUT_SHARE * 2**64


def draw_problem(rng: random.Random, level: int, *, held_out: bool) -> Problem:
    """A random problem of one side of the split."""
    while is_held_out(problem := random_problem(rng, level)) != held_out:
        pass
    return problem


def distinct_problems(
    rng: random.Random, levels: Sequence[int], num_problems: int, *, held_out: bool
) -> list[Problem]:
    """Different problems that cycle through the levels: every prefix is balanced over them."""
    problems: dict[Problem, None] = {}
    while len(problems) < num_problems:
        level = levels[len(problems) % len(levels)]
        problems.setdefault(draw_problem(rng, level, held_out=held_out))
    return list(problems)


def response(thoughts: str, result: int) -> str:
    """Thoughts and a final digit in the shape that answer checkers read."""
    return f"<think>{thoughts}</think> \\boxed{{{result}}}"


def step(operation: Operation, value: int) -> str:
    """One written step, such as ` b*3=1`."""
    return f" {operation}={value}"


def restatement(operation: Operation, value: int) -> str:
    """A value said again, such as ` so b=1`."""
    return f" so {operation.label}={value}"


def minimal_trace(problem: Problem) -> str:
    """The shortest complete response: every step once."""
    digits = values(problem)
    return response("".join(map(step, problem.operations, digits)), digits[-1])


def minimal_num_tokens(problem: Problem) -> int:
    """Tokens of the minimal response with its end token: four a step and six around them."""
    return 4 * problem.level + 6


def skipping_trace(problem: Problem) -> str:
    """A response that leaves out every second step, counted back from the last, which it keeps."""
    kept = list(zip(problem.operations, values(problem), strict=True))[::-1][::2][::-1]
    return response("".join(step(*pair) for pair in kept), answer(problem))


def verbose_trace(problem: Problem, rng: random.Random, habits: Habits) -> str:
    """A response as the untrained model writes it."""
    steps = list(zip(problem.operations, remembered_values(problem, rng, habits), strict=True))
    style = rng.random()
    if style < habits.minimal:
        thoughts = "".join(step(*pair) for pair in steps)
    elif style < habits.minimal + habits.wordy:
        thoughts = _restating(steps, rng, habits.restate_when_wordy)
    else:
        thoughts = _checking(steps, rng, habits)
    return response(thoughts, steps[-1][1])


def remembered_values(problem: Problem, rng: random.Random, habits: Habits) -> list[int]:
    """The digit after each operation as a fallible model has it; a mistake carries through."""
    lapsing = rng.random() < habits.lapses
    digits = []
    value = problem.start
    for operation in problem.operations:
        lapse = lapsing and (operation.symbol, operation.operand, value) == MISREMEMBERED
        value = REMEMBERED_AS if lapse else apply(operation, value)
        if rng.random() < habits.slips:
            value = (value + rng.randint(1, 9)) % 10
        digits.append(value)
    return digits


def _restating(steps: Sequence[tuple[Operation, int]], rng: random.Random, restate: float) -> str:
    return "".join(
        step(*pair) + (restatement(*pair) if rng.random() < restate else "") for pair in steps
    )


def _checking(steps: Sequence[tuple[Operation, int]], rng: random.Random, habits: Habits) -> str:
    num_checks = rng.randint(habits.fewest_checks, habits.most_checks)
    thoughts = _restating(steps, rng, habits.restate_when_checking)
    for check in range(1, num_checks + 1):
        abandoned = check < num_checks and rng.random() < habits.abandoned_checks
        num_steps = rng.randint(1, len(steps)) if abandoned else len(steps)
        thoughts += f" wait check {check}:"
        thoughts += _restating(steps[:num_steps], rng, habits.restate_when_checking)
    return thoughts
