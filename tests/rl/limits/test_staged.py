"""ThinkPrune's 4000, 3000, 2000 tighten; DeepScaleR's 8k, 16k, 24k widen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.limits.staged import StagedConfig, build_limit, staged_cap
from tests.rewards.groups import prompt

THINK_PRUNE = StagedConfig(tokens=[4000, 3000, 2000], starts=[0, 180, 360])
DEEPSCALER = StagedConfig(
    max_response_tokens=24576, tokens=[8192, 16384, 24576], starts=[0, 1040, 1520]
)


@pytest.mark.parametrize(
    ("config", "limits"),
    [
        (THINK_PRUNE, {0: 4000, 179: 4000, 180: 3000, 359: 3000, 360: 2000, 9999: 2000}),
        (DEEPSCALER, {0: 8192, 1039: 8192, 1040: 16384, 1519: 16384, 1520: 24576}),
    ],
)
def test_a_stage_lasts_from_its_first_step_to_the_next_stages(config, limits):
    limit = build_limit(config)
    assert config.problems() == []
    assert {step: limit.limit(prompt("a"), step) for step in limits} == limits


stages = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 9999)), min_size=1, max_size=6)


@given(stages, st.integers(0, 400))
def test_the_cap_is_that_of_the_stage_that_a_walk_through_the_steps_is_in(stages, step):
    starts = [0]
    for duration, _ in stages[:-1]:
        starts.append(starts[-1] + duration)
    tokens = [n for _, n in stages]
    cap = tokens[0]
    for t in range(step + 1):
        if t in starts:
            cap = tokens[starts.index(t)]
    assert staged_cap(step, tokens, starts) == cap


@pytest.mark.parametrize(
    ("tokens", "starts"), [([], []), ([4000], []), ([], [0]), ([4000, 3000], [0])]
)
def test_stages_without_a_limit_or_a_first_step_are_a_problem(tokens, starts):
    assert StagedConfig(tokens=tokens, starts=starts).problems() == [
        f"limit.tokens={tokens}, limit.starts={starts}: set as many limits as first steps, at "
        "least one of each"
    ]


@pytest.mark.parametrize("starts", [[1, 2], [0, 0], [0, -1], [5, 3]])
def test_stages_out_of_order_are_a_problem(starts):
    assert StagedConfig(tokens=[9, 5], starts=starts).problems() == [
        f"limit.tokens=[9, 5], limit.starts={starts}: set limit.starts to steps that rise from 0"
    ]


@pytest.mark.parametrize("tokens", [[0, 5], [5, 0], [5, 11], [11, 5]])
def test_a_cap_that_the_run_has_no_room_for_is_a_problem(tokens):
    config = StagedConfig(max_response_tokens=10, tokens=tokens, starts=[0, 1])
    assert config.problems() == [
        f"limit.tokens={tokens}, limit.starts=[0, 1] with limit.max_response_tokens=10: set "
        "limit.tokens to 1 up to limit.max_response_tokens, for which the run has room"
    ]


def test_the_largest_cap_may_fill_the_room():
    assert StagedConfig(max_response_tokens=10, tokens=[10, 1], starts=[0, 1]).problems() == []
