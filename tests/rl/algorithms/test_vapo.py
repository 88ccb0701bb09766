import numpy as np
import pytest

from rl.algorithms.gae import whitened
from rl.algorithms.ppo import PpoConfig, ppo
from rl.algorithms.vapo import VapoConfig, vapo
from tests.rl.algorithms.valued import ALL, RIGHT, responses


def test_each_response_has_a_trace_for_its_length() -> None:
    # 1 - 1 / (0.05 l): 0.9 for 200 tokens, 0.5 for 40. The wrong one's deltas are 0.3, -0.1, 0.2
    # and -0.6; each sum is its delta and half of the next sum.
    found = vapo(VapoConfig())(responses(lengths=np.array([200.0, 40.0])))
    half = [0.3 - 0.075, -0.1 - 0.05, 0.2 - 0.3, -0.6]
    np.testing.assert_allclose(found, whitened(np.stack([RIGHT, half]), ALL), atol=1e-12)


def test_short_responses_keep_to_the_floor() -> None:
    floored = vapo(VapoConfig(lambda_floor=0.9))(responses())
    np.testing.assert_allclose(floored, ppo(PpoConfig(policy_lambda=0.9))(responses()))


def test_right_answers_are_imitated_with_the_papers_weight() -> None:
    assert VapoConfig().positive_coefficient == 0.1
    assert PpoConfig().positive_coefficient == 0.0


@pytest.mark.parametrize("floor", [0.0, 1.0])
def test_floors_at_the_ends_are_allowed(floor: float) -> None:
    assert VapoConfig(lambda_floor=floor).problems() == []


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (VapoConfig(lambda_alpha=0.0), "algorithm.lambda_alpha=0.0: set it above 0"),
        (VapoConfig(lambda_floor=-0.1), "algorithm.lambda_floor=-0.1: set it in 0 to 1"),
        (VapoConfig(lambda_floor=1.1), "algorithm.lambda_floor=1.1: set it in 0 to 1"),
    ],
)
def test_what_is_wrong_is_said(config: VapoConfig, problem: str) -> None:
    assert config.problems() == [problem]
