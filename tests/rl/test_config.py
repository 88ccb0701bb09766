import pytest

from rl.config import AlgorithmConfig


@pytest.mark.parametrize(
    "name",
    ["kl_coefficient", "kl_reward_coefficient", "entropy_coefficient", "positive_coefficient"],
)
def test_a_negative_weight_of_a_term_is_refused(name: str) -> None:
    assert AlgorithmConfig(**{name: 0.0}).problems() == []
    assert AlgorithmConfig(**{name: -0.1}).problems() == [
        f"algorithm.{name}=-0.1: set it to 0 or more"
    ]


@pytest.mark.parametrize(
    ("in_the_loss", "in_the_reward", "needed"),
    [(0.0, 0.0, False), (0.1, 0.0, True), (0.0, 0.1, True)],
)
def test_kl_needs_the_initial_model_wherever_it_counts(
    in_the_loss: float, in_the_reward: float, needed: bool
) -> None:
    config = AlgorithmConfig(kl_coefficient=in_the_loss, kl_reward_coefficient=in_the_reward)
    assert config.needs_reference is needed
