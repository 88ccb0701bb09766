from rl.algorithms.table import ALGORITHMS, group_advantages
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


def test_no_two_names_share_a_config() -> None:
    configs = {algorithm.config for algorithm in ALGORITHMS.values()}
    assert len(configs) == len(ALGORITHMS)
