"""T-PPO's advantages: of a window that ended, and of one that goes on."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.algorithms.actor_critic import Responses
from rl.algorithms.gae import Floats, whitened
from rl.algorithms.tppo import Bootstrap, TPpoConfig, repeated, tppo, valued
from rl.algorithms.vapo import VapoConfig, vapo
from tests.rl.algorithms.valued import ALL, RIGHT, VALUES, responses

PLAIN: dict[str, Any] = {"lambda_alpha": 0.05, "lambda_floor": 0.0, "ignored_tail_tokens": 0}


def pair() -> Responses:
    """A right answer and an unfinished one, of 200 tokens so that lambda is 0.9; four are here."""
    return responses(
        after=np.array([7.0, 0.8]),
        finished=np.array([True, False]),
        lengths=np.array([200.0, 200.0]),
    )


GOES_ON = [0.372, 0.08, 0.2, 0.0]


def test_an_unfinished_window_is_bootstrapped_by_its_last_value() -> None:
    found = tppo(TPpoConfig(**PLAIN))(pair())
    np.testing.assert_allclose(found, whitened(np.array([RIGHT, GOES_ON]), ALL), atol=1e-12)


def test_the_critics_own_value_credits_the_last_token_too() -> None:
    found = tppo(TPpoConfig(**PLAIN, bootstrap=Bootstrap.critic))(pair())
    further = np.array(GOES_ON) + 0.2 * 0.9 ** np.arange(3, -1, -1)
    np.testing.assert_allclose(found, whitened(np.array([RIGHT, further]), ALL), atol=1e-12)


def test_what_has_ended_has_no_value_behind_it() -> None:
    assert repeated(pair()).tolist() == [0.0, 0.6]
    assert valued(pair()).tolist() == [0.0, 0.8]


def test_a_window_in_the_middle_of_a_response_is_credited_alone() -> None:
    wide = np.zeros((2, 7), np.bool_)
    wide[:, 3:] = True
    values = np.concatenate([np.full((2, 3), 5.0), VALUES], axis=1)
    found = tppo(TPpoConfig(**PLAIN))(
        replace(pair(), values=values, trained=wide, sampled=np.ones((2, 7), np.bool_))
    )
    np.testing.assert_allclose(found[:, 3:], tppo(TPpoConfig(**PLAIN))(pair()))
    assert not found[:, :3].any()


def test_the_tail_of_an_unfinished_window_is_neither_credited_nor_counted() -> None:
    found = tppo(TPpoConfig(**PLAIN | {"ignored_tail_tokens": 2}))(pair())
    kept = np.array([[True] * 4, [True, True, False, False]])
    np.testing.assert_allclose(found, whitened(np.array([RIGHT, GOES_ON]), kept), atol=1e-12)
    assert found[1, 2:].tolist() == [0.0, 0.0]


def test_advantages_are_clamped_after_whitening() -> None:
    found = tppo(TPpoConfig(**PLAIN, max_advantage=0.5))(pair())
    free = tppo(TPpoConfig(**PLAIN))(pair())
    assert (np.abs(free) > 0.5).any()
    np.testing.assert_array_equal(found, free.clip(-0.5, 0.5))


@given(st.integers(0, 2**32))
def test_without_windows_it_is_vapo(seed: int) -> None:
    random = np.random.default_rng(seed)
    values: Floats = random.normal(size=(3, 5))
    ended = Responses(
        rewards=random.normal(size=3),
        values=values,
        after=random.normal(size=3),
        sampled=np.ones((3, 5), np.bool_),
        trained=np.ones((3, 5), np.bool_),
        finished=np.ones(3, np.bool_),
        lengths=np.array([30.0, 300.0, 3000.0]),
    )
    ours = tppo(TPpoConfig())(ended)
    np.testing.assert_allclose(ours, vapo(VapoConfig(lambda_floor=0.95))(ended))


def test_tail_and_clamp_are_those_of_the_released_recipe() -> None:
    assert (TPpoConfig().ignored_tail_tokens, TPpoConfig().max_advantage) == (8, 10.0)
    assert TPpoConfig().positive_coefficient == 0.1
    assert TPpoConfig(ignored_tail_tokens=0, max_advantage=0.5).problems() == []


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (
            TPpoConfig(ignored_tail_tokens=-1),
            "algorithm.ignored_tail_tokens=-1: set it to 0 or more",
        ),
        (TPpoConfig(max_advantage=0.0), "algorithm.max_advantage=0.0: set it above 0"),
        (
            TPpoConfig(dynamic_sampling=True),
            "algorithm.dynamic_sampling=true with algorithm=tppo: responses train before their "
            "group is complete; set algorithm.dynamic_sampling=false",
        ),
    ],
)
def test_what_is_wrong_is_said(config: TPpoConfig, problem: str) -> None:
    assert config.problems() == [problem]
    assert TPpoConfig().problems() == []
