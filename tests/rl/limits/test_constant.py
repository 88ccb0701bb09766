import numpy as np
import pytest

from data.types import Prompt
from rl.config import ConstantLimitConfig
from rl.limits.constant import build_limit

PROMPT = Prompt(id="p", messages=(), token_ids=np.array([1]), answer="7")


@pytest.mark.parametrize("step", [0, 500])
def test_every_step_allows_the_longest_response(step):
    limit = build_limit(ConstantLimitConfig(max_response_tokens=512))
    assert limit.limit(PROMPT, step) == 512


def test_a_cap_holds_in_training():
    limit = build_limit(ConstantLimitConfig(max_response_tokens=512, cap_tokens=48))
    assert limit.limit(PROMPT, 0) == 48


def test_a_constant_has_nothing_to_save():
    limit = build_limit(ConstantLimitConfig())
    limit.observe([], [])
    limit.load(limit.state())
    assert limit.state() == {}


@pytest.mark.parametrize("cap", [-1, 513])
def test_a_cap_beyond_the_longest_response_is_a_problem(cap):
    assert ConstantLimitConfig(max_response_tokens=512, cap_tokens=cap).problems() == [
        f"limit.cap_tokens={cap} with limit.max_response_tokens=512: set 0 (no cap) or at most the "
        "longest response"
    ]


@pytest.mark.parametrize("cap", [0, 512])
def test_no_cap_and_the_longest_response_are_no_problem(cap):
    assert ConstantLimitConfig(max_response_tokens=512, cap_tokens=cap).problems() == []


def test_a_run_without_response_tokens_is_a_problem():
    assert len(ConstantLimitConfig(max_response_tokens=0).problems()) == 1
