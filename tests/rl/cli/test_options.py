"""What a builder gets from the wiring."""

from dataclasses import dataclass
from typing import Any

import pytest

from rewards.config import RewardConfig
from rl.cli.options import GROUPS, Option, build_offering


@dataclass(kw_only=True)
class RememberingConfig(RewardConfig):
    """A reward of the tests."""


def remembering(config: RememberingConfig, memory: object) -> tuple[object, object]:
    return config, memory


def forgetting(config: RememberingConfig) -> object:
    return config


@pytest.mark.parametrize(("builder", "asks"), [(remembering, True), (forgetting, False)])
def test_a_builder_gets_the_offered_parts_that_it_asks_for(
    builder: Any, asks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GROUPS["reward"], "remembering", Option(RememberingConfig, builder))
    config, memory = RememberingConfig(), object()
    built = build_offering("reward", config, memory=memory, limit="not asked for")
    assert built == ((config, memory) if asks else config)
