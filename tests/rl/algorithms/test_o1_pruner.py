from rl.algorithms.o1_pruner import O1PrunerCodeConfig, O1PrunerConfig, o1_pruner
from rl.config import Aggregation
from tests.rl.algorithms.scored import scored


def test_the_reward_is_the_advantage_whatever_the_group() -> None:
    rewards = [[2.5, -3.0], [1.0, 1.0]]
    assert o1_pruner(O1PrunerConfig())(*scored(rewards)) == rewards


def test_defaults_are_the_papers_mean_over_answers_and_its_clip() -> None:
    for config in (O1PrunerConfig(), O1PrunerCodeConfig()):
        assert config.group_size == 2
        assert (config.clip_low, config.clip_high) == (0.2, 0.2)
        assert config.aggregation is Aggregation.sequence_mean_token_mean
        assert config.problems() == []
