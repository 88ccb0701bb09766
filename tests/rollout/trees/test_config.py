import pytest

from rollout.trees.config import TreeConfig


def test_defaults_are_the_published_tree() -> None:
    config = TreeConfig()
    assert config.problems() == []
    assert config.segment_tokens * config.depth == 7168


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"segment_tokens": 0}, "rollout.tree.segment_tokens=0: set it to 1 or more"),
        ({"depth": 0}, "rollout.tree.depth=0: set it to 1 or more"),
        (
            {"divergence_least": 3},
            "rollout.tree.divergence_least=3, rollout.tree.divergence_most=2: "
            "set 1 <= least <= most",
        ),
        (
            {"first_divergence_least": 0},
            "rollout.tree.first_divergence_least=0, rollout.tree.first_divergence_most=2: "
            "set 1 <= least <= most",
        ),
        (
            {"divergence_temperature": 0.0},
            "rollout.tree.divergence_temperature=0.0: set it above 0",
        ),
    ],
)
def test_problem_names_key_value_and_what_to_set(options: dict[str, float], problem: str) -> None:
    assert TreeConfig(**options).problems() == [problem]


def test_all_problems_are_named_at_once() -> None:
    assert len(TreeConfig(segment_tokens=0, depth=-1, divergence_most=1).problems()) == 3
