import numpy as np
import pytest
import torch

from rl.algorithms.aggregation import row_weights
from rl.algorithms.ppo import PpoConfig
from rl.algorithms.rloo import RlooConfig
from rl.algorithms.table import (
    ALGORITHMS,
    group_advantages,
    known_advantages,
    penalised_advantages,
)
from tests.rl.algorithms.microbatch import (
    HORIZON,
    OLD,
    ROWS,
    flat_rows,
    gradient_of,
    gradient_row_by_row,
    moved,
)
from tests.rl.algorithms.scored import scored

SCORED = scored([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


def test_each_config_chooses_its_own_formula() -> None:
    chosen = {
        name: group_advantages(entry.config())(*SCORED)[0][0] for name, entry in ALGORITHMS.items()
    }
    assert round(chosen["grpo"], 4) == 1.1547
    assert round(chosen["dr_grpo"], 4) == 0.6667
    assert chosen["rloo"] == 1.0
    assert round(chosen["dler"], 4) == 2.0
    assert round(chosen["dler_code"], 4) == 1.8257
    assert round(chosen["gdpo"], 4) == 1.8255
    assert chosen["gspo"] == chosen["cispo"] == chosen["gmpo"] == chosen["sapo"] == chosen["grpo"]
    # Six tokens, one of them worth 1: 5/6 over the root of 1/6, with Bessel's correction.
    assert round(chosen["reinforce_pp"], 4) == 2.0412
    assert chosen["reinforce_pp_baseline"] == chosen["dler_code"]
    assert chosen["o1_pruner"] == chosen["o1_pruner_code"] == 1.0


def test_no_two_names_share_a_config() -> None:
    configs = {algorithm.config for algorithm in ALGORITHMS.values()}
    assert len(configs) == len(ALGORITHMS)


AGAINST_THE_SAMPLER = {"o1_pruner", "o1_pruner_code"}
"""Their ratio is not 1 at the start of an update."""


@pytest.mark.parametrize("name", sorted(ALGORITHMS.keys() - AGAINST_THE_SAMPLER))
def test_at_the_start_of_an_update_every_loss_has_the_gradient_of_reinforce(name: str) -> None:
    config = ALGORITHMS[name].config()
    weights = row_weights(config.aggregation, HORIZON)([row.num_trained for row in ROWS])
    flat = flat_rows()
    reinforce = -torch.tensor(weights)[flat.rows] * flat.advantages * flat.mask
    torch.testing.assert_close(gradient_of(config, OLD), reinforce)


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_microbatches_do_not_change_the_gradient(name: str, scale: float) -> None:
    config = ALGORITHMS[name].config()
    whole, parts = gradient_of(config, moved(scale)), gradient_row_by_row(config, moved(scale))
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-7)


def test_kl_in_the_reward_is_whitened_with_the_rest_by_reinforce_pp_alone() -> None:
    _, scores = scored([[1.0, 0.0, 0.0]])
    penalties = [np.array([0.5]), np.array([0.0]), np.array([0.0])]
    means = {
        name: np.concatenate(
            penalised_advantages(entry.config())([[0.6, 0.0, 0.0]], scores, penalties)
        )
        for name, entry in ALGORITHMS.items()
    }
    whitening = {"reinforce_pp", "reinforce_pp_baseline"}
    for name, found in means.items():
        if name in whitening:
            assert found.tolist() == pytest.approx([2 / 3**0.5, -1 / 3**0.5, -1 / 3**0.5], rel=1e-6)
        else:
            assert found.tolist() == pytest.approx([0.1, 0.0, 0.0])


def test_a_critic_is_taken_to_know_the_mean_reward_of_a_prompt() -> None:
    assert known_advantages(PpoConfig())(*scored([[1.0, 0.0], [3.0, 5.0]])) == [
        [0.5, -0.5],
        [-1.0, 1.0],
    ]
    assert known_advantages(RlooConfig())(*SCORED) == group_advantages(RlooConfig())(*SCORED)
