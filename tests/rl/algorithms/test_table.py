from rl.algorithms.dler import DlerCodeConfig, DlerConfig
from rl.algorithms.dr_grpo import DrGrpoConfig
from rl.algorithms.gdpo import GdpoConfig
from rl.algorithms.grpo import GrpoConfig
from rl.algorithms.o1_pruner import O1PrunerCodeConfig, O1PrunerConfig
from rl.algorithms.ppo import PpoConfig
from rl.algorithms.rloo import RlooConfig
from rl.algorithms.table import (
    ACTOR_CRITICS,
    ALGORITHMS,
    group_advantages,
    known_advantages,
)
from rl.algorithms.tppo import TPpoConfig
from rl.algorithms.vapo import VapoConfig
from tests.rl.algorithms.scored import scored

SCORED = scored([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


def test_each_config_chooses_its_own_formula() -> None:
    chosen = {
        name: group_advantages(config())(*SCORED)[0][0] for name, (config, _) in ALGORITHMS.items()
    }
    assert round(chosen["grpo"], 4) == 1.1547
    assert round(chosen["dr_grpo"], 4) == 0.6667
    assert chosen["rloo"] == 1.0
    assert round(chosen["dler"], 4) == 2.0
    assert round(chosen["dler_code"], 4) == 1.8257
    assert round(chosen["gdpo"], 4) == 1.8255
    assert chosen["o1_pruner"] == chosen["o1_pruner_code"] == 1.0


def test_names_of_the_group_are_those_of_the_recipes() -> None:
    configs = {name: algorithm.config for name, algorithm in ALGORITHMS.items()}
    assert configs == {
        "grpo": GrpoConfig,
        "dr_grpo": DrGrpoConfig,
        "rloo": RlooConfig,
        "dler": DlerConfig,
        "dler_code": DlerCodeConfig,
        "gdpo": GdpoConfig,
        "o1_pruner": O1PrunerConfig,
        "o1_pruner_code": O1PrunerCodeConfig,
    }
    assert {name: algorithm.config for name, algorithm in ACTOR_CRITICS.items()} == {
        "ppo": PpoConfig,
        "vapo": VapoConfig,
        "tppo": TPpoConfig,
    }


def test_a_critic_is_taken_to_know_the_mean_reward_of_a_prompt() -> None:
    assert known_advantages(PpoConfig())(*scored([[1.0, 0.0], [3.0, 5.0]])) == [
        [0.5, -0.5],
        [-1.0, 1.0],
    ]
    assert known_advantages(RlooConfig())(*SCORED) == group_advantages(RlooConfig())(*SCORED)
