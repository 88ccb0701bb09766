"""Requests that start together are scheduled together: with a recorded scheduler, and in vLLM."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from data.types import Completion
from rollout.engine import EngineError
from rollout.vllm.admission import Admission
from tests.engine_fixtures import LabEngine


class Scheduler:
    """What `Admission` sees of vLLM: it notes what happens, in order."""

    def __init__(self, clean: bool = True) -> None:
        self.events: list[str] = []
        self.requests = 0
        self.clean = clean
        self.output_processor = self
        self.going = asyncio.Event()

    def get_num_unfinished_requests(self) -> int:
        return self.requests

    async def pause_generation(self, *, mode: str, clear_cache: bool) -> None:
        await asyncio.sleep(0.01)
        self.events.append("pause")
        self.going.clear()

    async def reset_prefix_cache(self) -> bool:
        self.events.append("reset")
        return self.clean

    async def resume_generation(self) -> None:
        self.events.append("resume")
        self.going.set()

    async def generate(self, name: str) -> None:
        await asyncio.sleep(0.001)
        self.requests += 1
        self.events.append(name)
        await self.going.wait()
        self.requests -= 1


async def request(admission: Admission, scheduler: Scheduler, name: str) -> None:
    await admission.join()
    await scheduler.generate(name)


def test_the_scheduler_goes_on_when_it_holds_the_whole_burst() -> None:
    scheduler = Scheduler()
    admission = Admission(scheduler)  # type: ignore[arg-type]

    async def bursts() -> None:
        for names in ("abc", "de"):
            await asyncio.gather(*(request(admission, scheduler, name) for name in names))

    asyncio.run(asyncio.wait_for(bursts(), 10))
    assert "".join(e if len(e) == 1 else f" {e} " for e in scheduler.events).split() == [
        "pause", "reset", "abc", "resume", "pause", "reset", "de", "resume",
    ]  # fmt: skip


def test_a_cancelled_request_does_not_hold_the_others_up() -> None:
    scheduler = Scheduler()
    admission = Admission(scheduler)  # type: ignore[arg-type]

    async def burst() -> None:
        tasks = [asyncio.create_task(request(admission, scheduler, name)) for name in "abc"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(asyncio.wait_for(burst(), 10))
    assert scheduler.events == ["pause", "reset", "a", "c", "resume"]


def test_overlapping_bursts_fail_by_name() -> None:
    scheduler = Scheduler(clean=False)
    admission = Admission(scheduler)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="requests of two bursts overlap"):
        asyncio.run(request(admission, scheduler, "a"))


@pytest.fixture
def admitting(lab_engine: LabEngine) -> Iterator[LabEngine]:
    lab_engine.engine.admit_together()
    yield lab_engine
    lab_engine.engine._admission = None


@pytest.mark.engine
def test_bursts_repeat_bit_for_bit_in_real_vllm(admitting: LabEngine) -> None:
    first, second = (
        [completion for _, completion in admitting.sample(24, limit=40)] for _ in range(2)
    )
    assert [contents(c) for c in first] == [contents(c) for c in second]


def contents(completion: Completion) -> tuple[bytes, bytes]:
    return completion.token_ids.tobytes(), np.asarray(completion.logprobs).tobytes()
