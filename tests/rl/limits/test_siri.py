"""Golden values: T = 640, limits between 16384 and 8192, as in the paper."""

from math import cos, pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.limits.siri import (
    SiriCosineConfig,
    SiriStairConfig,
    SiriStairCosineConfig,
    build_cosine,
    build_stair,
    build_stair_cosine,
    siri_cosine,
    siri_stair,
    siri_stair_cosine,
)
from tests.rewards.groups import prompt

PAPER = {"cycle_steps": 640, "longest": 16384, "shortest": 8192}
FORMULAS = [siri_cosine, siri_stair_cosine, siri_stair]

steps = st.integers(0, 10_000)
cycles = st.integers(2, 1000)
bounds = st.lists(st.integers(1, 40_000), min_size=2, max_size=2).map(sorted)


@pytest.mark.parametrize(
    ("step", "tokens"),
    [(0, 16384), (80, 15184), (160, 12288), (320, 8192), (480, 12288), (640, 16384)],
)
def test_the_cosine_has_the_golden_values(step, tokens):
    assert siri_cosine(step, **PAPER) == tokens


@pytest.mark.parametrize(
    ("step", "tokens"),
    [
        (0, 16384),
        (79, 16384),
        (80, 16384),
        (120, 15184),
        (160, 12288),
        (200, 9392),
        (240, 8192),
        (320, 8192),
        (400, 8192),
        (480, 12288),
        (560, 16384),
        (639, 16384),
        (640, 16384),
    ],
)
def test_the_stair_cosine_has_the_golden_values(step, tokens):
    assert siri_stair_cosine(step, **PAPER) == tokens


@pytest.mark.parametrize(
    ("step", "tokens"), [(0, 8192), (319, 8192), (320, 16384), (639, 16384), (640, 8192)]
)
def test_the_stair_compresses_first_and_expands_in_the_second_half(step, tokens):
    assert siri_stair(step, **PAPER) == tokens


def test_an_odd_cycle_compresses_for_the_longer_half():
    limits = [siri_stair(t, cycle_steps=3, longest=9, shortest=4) for t in range(4)]
    assert limits == [4, 4, 9, 4]


def papers_stair_cosine(step: int, cycle: int, longest: int, shortest: int) -> float:
    """Section 4.3 read off, interval by interval."""
    middle, half = (longest + shortest) / 2, (longest - shortest) / 2
    phi = 2 * pi * (step % cycle) / cycle
    if phi < pi / 4 or phi >= 7 * pi / 4:
        return longest
    if phi < 3 * pi / 4:
        return middle + half * cos(2 * (phi - pi / 4))
    if phi < 5 * pi / 4:
        return shortest
    return middle + half * cos(2 * (phi - 3 * pi / 4))


@given(steps, cycles, bounds)
def test_the_stair_cosine_is_the_papers_by_intervals(step, cycle, pair):
    shortest, longest = pair
    expected = papers_stair_cosine(step, cycle, longest, shortest)
    assert siri_stair_cosine(step, cycle, longest, shortest) == pytest.approx(expected, abs=0.51)


@given(steps, cycles, bounds)
def test_the_cosine_is_the_papers(step, cycle, pair):
    shortest, longest = pair
    middle, half = (longest + shortest) / 2, (longest - shortest) / 2
    expected = middle + half * cos(2 * pi * step / cycle)
    assert siri_cosine(step, cycle, longest, shortest) == pytest.approx(expected, abs=0.51)


@pytest.mark.parametrize("formula", FORMULAS)
@given(step=steps, cycle=cycles, pair=bounds)
def test_a_schedule_repeats_and_keeps_between_its_bounds(formula, step, cycle, pair):
    shortest, longest = pair
    limit = formula(step, cycle, longest, shortest)
    assert shortest <= limit <= longest
    assert limit == formula(step + cycle, cycle, longest, shortest)


@pytest.mark.parametrize("formula", FORMULAS)
@given(step=steps, cycle=cycles, tokens=st.integers(1, 40_000))
def test_equal_bounds_are_a_constant_cap(formula, step, cycle, tokens):
    assert formula(step, cycle, tokens, tokens) == tokens


@pytest.mark.parametrize(
    ("config", "build", "formula"),
    [
        (SiriCosineConfig, build_cosine, siri_cosine),
        (SiriStairCosineConfig, build_stair_cosine, siri_stair_cosine),
        (SiriStairConfig, build_stair, siri_stair),
    ],
)
def test_a_limit_follows_its_formula_within_the_configured_bounds(config, build, formula):
    options = config(
        max_response_tokens=512, longest_tokens=160, shortest_tokens=80, cycle_steps=10
    )
    limit = build(options)
    assert [limit.limit(prompt("a"), t) for t in range(20)] == [
        formula(t, 10, 160, 80) for t in range(20)
    ]


def test_the_papers_numbers_are_the_defaults():
    config = SiriCosineConfig()
    assert config.problems() == []
    assert (config.longest, config.shortest_tokens, config.cycle_steps) == (16384, 8192, 640)


def test_a_cycle_of_one_step_is_a_problem():
    assert SiriCosineConfig(cycle_steps=2).problems() == []
    assert SiriCosineConfig(cycle_steps=1).problems() == [
        "limit.cycle_steps=1: a cycle compresses and expands; set 2 or more"
    ]
