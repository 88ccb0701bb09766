import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rl.algorithms.sapo import SapoConfig, sapo, soft_gate, soft_surrogate
from rl.config import Aggregation
from tests.rl.algorithms.microbatch import OLD, assert_is, flat_rows

temperatures = st.floats(0.1, 10)


def test_defaults_are_the_papers_temperatures_and_a_mean_over_answers() -> None:
    config = SapoConfig()
    assert (config.temperature_positive, config.temperature_negative) == (1.0, 1.05)
    assert config.aggregation is Aggregation.sequence_mean_token_mean
    assert config.problems() == []


def test_golden_values_and_slopes_of_the_gate() -> None:
    ratio = torch.tensor([0.5, 1.0, 1.5], requires_grad=True)
    gate = soft_gate(ratio, 1.0)
    (slopes,) = torch.autograd.grad(gate.sum(), ratio)
    assert gate.tolist() == pytest.approx([1.51016, 2, 2.48984], abs=5e-6)
    assert slopes.tolist() == pytest.approx([0.940, 1, 0.940], abs=5e-4)


@given(st.floats(-0.9, 0.9), temperatures)
def test_the_gate_is_symmetric_about_its_value_at_one(distance: float, temperature: float) -> None:
    around = soft_gate(torch.tensor([1 - distance, 1 + distance]), temperature)
    assert around.sum().item() == pytest.approx(4 / temperature, rel=1e-4)


@given(st.floats(0, 5), temperatures)
def test_no_token_weighs_more_than_on_policy(ratio: float, temperature: float) -> None:
    leaf = torch.tensor([ratio, 1.0], dtype=torch.float64, requires_grad=True)
    (slopes,) = torch.autograd.grad(soft_gate(leaf, temperature).sum(), leaf)
    assert 0 <= slopes[0] <= 1 + 1e-12
    assert slopes[1].item() == pytest.approx(1)


@given(st.floats(0, 5), st.floats(-3, 3), temperatures)
def test_one_temperature_makes_opposite_advantages_opposite(
    ratio: float, advantage: float, temperature: float
) -> None:
    r, a = torch.tensor(ratio), torch.tensor(advantage)
    loss = soft_surrogate(r, a, temperature, temperature)
    assert loss.item() == -soft_surrogate(r, -a, temperature, temperature).item()


@pytest.mark.parametrize("scale", [0.0, 1.0, -1.0])
def test_the_loss_is_the_papers_with_the_temperature_of_the_sign(scale: float) -> None:
    def paper(new: Tensor, old: Tensor, advantage: float) -> Tensor:
        tau = 2.0 if advantage > 0 else 3.0
        gates = 4 / tau / (1 + (-tau * ((new - old).exp() - 1)).exp())
        return -(gates * advantage).mean() / 4

    assert_is(SapoConfig(temperature_positive=2.0, temperature_negative=3.0), paper, scale)


def test_nothing_is_clipped_so_no_clipping_is_reported() -> None:
    found = sapo(SapoConfig())(flat_rows([1]), OLD[1] + 3.0, OLD[1])
    assert found.metrics == {}
    assert found.ratio.tolist() == pytest.approx([20.0855] * 3, rel=1e-5)


@pytest.mark.parametrize("name", ["temperature_positive", "temperature_negative"])
def test_a_temperature_of_zero_is_refused(name: str) -> None:
    (problem,) = SapoConfig(**{name: 0.0}).problems()
    assert f"algorithm.{name}=0.0" in problem and "set both above 0" in problem
