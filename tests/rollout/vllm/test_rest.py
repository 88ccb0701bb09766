"""An engine that shares its GPUs with the learner gives their memory up; any other goes on."""

from types import SimpleNamespace

import pytest

from rollout.background import BackgroundLoop
from rollout.config import Placement
from rollout.vllm.engine import VllmEngine


class Sleeper:
    """The calls of `AsyncLLM` that move memory, in order."""

    def __init__(self):
        self.calls = []

    async def sleep(self, level, mode):
        self.calls.append(f"sleep {level} {mode}")

    async def wake_up(self):
        self.calls.append("wake up")


@pytest.fixture
def loop():
    background = BackgroundLoop()
    yield background
    background.close()


def engine(llm, loop, placement):
    return VllmEngine(
        llm,
        loop,
        name="vllm",
        max_model_tokens=8,
        weight_version=0,
        placement=placement,
        processes=SimpleNamespace(),
    )


def test_a_shared_engine_sleeps_until_the_learner_is_done(loop):
    llm = Sleeper()
    with engine(llm, loop, Placement.shared).rest():
        assert llm.calls == ["sleep 1 keep"]
    assert llm.calls == ["sleep 1 keep", "wake up"]


def test_a_shared_engine_stays_asleep_when_the_learner_fails(loop):
    llm = Sleeper()
    with pytest.raises(MemoryError), engine(llm, loop, Placement.shared).rest():
        raise MemoryError
    assert llm.calls == ["sleep 1 keep"]


@pytest.mark.parametrize("placement", [Placement.cpu, Placement.separate])
def test_an_engine_with_memory_of_its_own_goes_on(placement, loop):
    llm = Sleeper()
    with engine(llm, loop, placement).rest():
        pass
    assert llm.calls == []
