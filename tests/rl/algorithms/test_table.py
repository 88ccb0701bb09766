from rl.algorithms.dler import DlerCodeConfig, DlerConfig
from rl.algorithms.dr_grpo import DrGrpoConfig
from rl.algorithms.gdpo import GdpoConfig
from rl.algorithms.grpo import GrpoConfig
from rl.algorithms.o1_pruner import O1PrunerCodeConfig, O1PrunerConfig
from rl.algorithms.rloo import RlooConfig
from rl.algorithms.table import ALGORITHMS, group_advantages
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
