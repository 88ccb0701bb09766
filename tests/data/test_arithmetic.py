"""The lab's task: arithmetic, traces and the split."""

import random
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.arithmetic import (
    LABELS,
    LONG_HABITS,
    OPERANDS,
    SHORT_HABITS,
    SHORT_LEVELS,
    Habits,
    Operation,
    Problem,
    answer,
    apply,
    distinct_problems,
    draw_problem,
    is_held_out,
    minimal_num_tokens,
    minimal_trace,
    question,
    random_problem,
    remembered_values,
    skipping_trace,
    values,
    verbose_trace,
)

WORKED = Problem(
    start=7,
    operations=(
        Operation(label="a", symbol="+", operand=5),
        Operation(label="b", symbol="*", operand=3),
        Operation(label="c", symbol="-", operand=8),
    ),
)
PROBLEMS = st.builds(
    lambda seed, level: random_problem(random.Random(seed), level),
    st.integers(0, 2**32),
    st.integers(1, 25),
)
SEEDS = st.integers(0, 2**32)
STYLES = st.sampled_from(
    [replace(habits, slips=0.0, lapses=0.0) for habits in (SHORT_HABITS, LONG_HABITS)]
)
PLAIN = Habits(
    minimal=1,
    wordy=0,
    restate_when_wordy=1,
    restate_when_checking=0,
    fewest_checks=1,
    most_checks=1,
    abandoned_checks=0,
)
STEP = re.compile(r" ([a-z])([-+*])(\d)=(\d)")


def boxed(trace: str) -> int:
    found = re.fullmatch(r"<think>.*</think> \\boxed\{(\d)\}", trace)
    assert found is not None
    return int(found[1])


def test_worked_example_reads_as_written_by_hand() -> None:
    assert question(WORKED) == "Start with 7 and work modulo 10: a+5 b*3 c-8. What is the result?"
    assert values(WORKED) == [2, 6, 8]
    assert minimal_trace(WORKED) == r"<think> a+5=2 b*3=6 c-8=8</think> \boxed{8}"
    assert skipping_trace(WORKED) == r"<think> a+5=2 c-8=8</think> \boxed{8}"
    assert minimal_num_tokens(WORKED) == 18


def test_always_wordy_trace_restates_every_value() -> None:
    wordy = replace(PLAIN, minimal=0, wordy=1)
    expected = r"<think> a+5=2 so a=2 b*3=6 so b=6 c-8=8 so c=8</think> \boxed{8}"
    assert verbose_trace(WORKED, random.Random(0), wordy) == expected


def test_always_checking_trace_repeats_the_chain() -> None:
    chain = " a+5=2 b*3=6 c-8=8"
    expected = rf"<think>{chain} wait check 1:{chain}</think> \boxed{{8}}"
    assert verbose_trace(WORKED, random.Random(0), replace(PLAIN, minimal=0)) == expected


def test_abandoned_checks_break_off_and_the_last_one_does_not() -> None:
    habits = replace(PLAIN, minimal=0, fewest_checks=3, most_checks=3, abandoned_checks=1)
    trace = verbose_trace(WORKED, random.Random(1), habits)
    checks = trace.removesuffix(r"</think> \boxed{8}").split(" wait check ")[1:]
    assert [check[:2] for check in checks] == ["1:", "2:", "3:"]
    assert checks[2] == "3: a+5=2 b*3=6 c-8=8"
    assert all("3: a+5=2 b*3=6 c-8=8"[1:].startswith(check[1:]) for check in checks)


def test_lapse_takes_seven_times_eight_for_four_and_carries_on() -> None:
    operations = (
        Operation(label="k", symbol="*", operand=7),
        Operation(label="l", symbol="+", operand=1),
    )
    problem = Problem(start=8, operations=operations)
    lapsing = replace(PLAIN, lapses=1)
    assert verbose_trace(problem, random.Random(0), PLAIN).endswith(r"{7}")
    assert (
        verbose_trace(problem, random.Random(0), lapsing)
        == r"<think> k*7=4 l+1=5</think> \boxed{5}"
    )


@given(PROBLEMS, SEEDS)
def test_always_slipping_trace_gets_every_step_wrong(problem: Problem, seed: int) -> None:
    slipped = remembered_values(problem, random.Random(seed), replace(PLAIN, slips=1))
    before = [problem.start, *slipped]
    for operation, value, digit in zip(problem.operations, before, slipped, strict=False):
        assert 0 <= digit <= 9
        assert digit != apply(operation, value)


@given(PROBLEMS, SEEDS)
def test_checking_never_changes_a_mistake(problem: Problem, seed: int) -> None:
    habits = replace(LONG_HABITS, minimal=0, wordy=0, slips=0.2)
    digits: dict[str, set[str]] = {}
    for label, _, _, digit in STEP.findall(verbose_trace(problem, random.Random(seed), habits)):
        digits.setdefault(label, set()).add(digit)
    assert all(len(said) == 1 for said in digits.values())


def test_unknown_symbol_is_named_with_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"symbol='/' is none of \+, -, \*"):
        apply(Operation(label="a", symbol="/", operand=2), 4)


@given(PROBLEMS)
def test_answer_equals_exact_integers_reduced_at_the_end(problem: Problem) -> None:
    exact = problem.start
    for operation in problem.operations:
        exact = eval(f"exact {operation.symbol} {operation.operand}")
    assert answer(problem) == exact % 10


@pytest.mark.parametrize("symbol", OPERANDS)
def test_every_operation_permutes_the_digits(symbol: str) -> None:
    for operand in OPERANDS[symbol]:
        operation = Operation(label="a", symbol=symbol, operand=operand)
        assert {apply(operation, digit) for digit in range(10)} == set(range(10))


@given(PROBLEMS)
def test_labels_are_consecutive_and_the_level_counts_them(problem: Problem) -> None:
    assert "".join(operation.label for operation in problem.operations) in LABELS
    assert problem.level == len(problem.operations)


@given(PROBLEMS, SEEDS, STYLES)
def test_verbose_trace_ends_in_the_right_answer(problem: Problem, seed: int, style: Habits) -> None:
    assert boxed(verbose_trace(problem, random.Random(seed), style)) == answer(problem)


@given(PROBLEMS, SEEDS, STYLES)
def test_every_written_step_is_true(problem: Problem, seed: int, style: Habits) -> None:
    truth = {
        (operation.label, operation.symbol, str(operation.operand), str(value))
        for operation, value in zip(problem.operations, values(problem), strict=True)
    }
    assert set(STEP.findall(verbose_trace(problem, random.Random(seed), style))) == truth


@given(PROBLEMS, SEEDS, STYLES)
def test_minimal_trace_is_the_shortest(problem: Problem, seed: int, style: Habits) -> None:
    minimal, verbose = minimal_trace(problem), verbose_trace(problem, random.Random(seed), style)
    assert len(minimal) < len(verbose) or minimal == verbose


@given(PROBLEMS)
def test_skipping_trace_keeps_the_last_step_and_every_second_before_it(problem: Problem) -> None:
    kept = [step[0] for step in STEP.findall(skipping_trace(problem))]
    assert kept == [operation.label for operation in problem.operations][::-1][::2][::-1]


@given(SEEDS, st.integers(1, 25), st.booleans())
def test_drawn_problems_stay_on_their_side_of_the_split(
    seed: int, level: int, held_out: bool
) -> None:
    problem = draw_problem(random.Random(seed), level, held_out=held_out)
    assert is_held_out(problem) == held_out


def test_an_eighth_of_the_problems_is_held_out() -> None:
    rng = random.Random(3)
    held_out = sum(is_held_out(random_problem(rng, 4)) for _ in range(4000))
    assert 430 <= held_out <= 570


def test_distinct_problems_differ_and_every_prefix_is_balanced() -> None:
    problems = distinct_problems(random.Random(5), SHORT_LEVELS, 300, held_out=True)
    counts = Counter(problem.level for problem in problems)
    assert len(set(problems)) == 300
    assert set(counts.values()) == {33, 34}


def test_same_seed_gives_the_same_trace() -> None:
    first = verbose_trace(WORKED, random.Random(11), SHORT_HABITS)
    assert verbose_trace(WORKED, random.Random(11), SHORT_HABITS) == first
