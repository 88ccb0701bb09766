"""What a run asks of a recording before it trains on it; the engine is a fake one."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from data.config import DataConfig, ModelConfig
from data.types import Completion, Prompt, Verdict
from rewards.length.o1_pruner import O1PrunerConfig as O1PrunerRewardConfig
from rewards.verifiers.exact import ExactConfig
from rl.algorithms.o1_pruner import O1PrunerConfig
from rl.config import ConstantLimitConfig, RunConfig
from rl.limits.constant import build_limit
from rl.run.probe import ProbeError
from rl.run.references import (
    FILE,
    check_logprobs,
    read_recording,
    record,
    settings_of,
)
from rollout.background import BackgroundLoop
from rollout.config import ReplayConfig
from rollout.samplings import StreamSettings
from rollout.stream import GraderError, Stream
from tests.fakes import FakeEngine
from tests.rl.builders import prompt

CONFIG = RunConfig(
    model=ModelConfig(path="lab:short", dtype="float32"),
    data=DataConfig(path="lab:short"),
    verifier=ExactConfig(),
    reward=O1PrunerRewardConfig(),
    algorithm=O1PrunerConfig(),
    limit=ConstantLimitConfig(max_response_tokens=20),
    rollout=ReplayConfig(samples_per_prompt=4),
)
PROMPTS = [prompt(name) for name in "abc"]


async def verify(prompt: Prompt, completion: Completion) -> Verdict:
    return Verdict(correct="4" in completion.text)


@pytest.fixture
def loop() -> Iterator[BackgroundLoop]:
    background = BackgroundLoop()
    yield background
    background.close()


def written(folder: Path, loop: BackgroundLoop, prompts: list[Prompt], verifier: Any = verify):  # type: ignore[no-untyped-def]
    path = folder / FILE
    settings = StreamSettings(group_size=4, seed=0)
    stream = Stream(FakeEngine(), verifier, lambda group, verdicts: True, loop, settings)
    heard: list[int] = []
    try:
        limit = build_limit(cast(ConstantLimitConfig, CONFIG.limit))
        record(path, CONFIG, stream, limit, prompts, heard.append)
    finally:
        stream.close()
    assert heard == [len(prompts)]
    return path


def test_the_first_answers_are_trained_on_and_all_of_them_are_the_reference(
    tmp_path: Path, loop: BackgroundLoop
) -> None:
    path = written(tmp_path, loop, PROMPTS)
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE]
    found = read_recording(path, CONFIG, PROMPTS)
    whole = read_recording(path, replace(CONFIG, algorithm=O1PrunerConfig(group_size=4)), PROMPTS)
    for two, four in zip(found.judged, whole.judged, strict=True):
        assert [c.text for c in two.group.completions] == [
            c.text for c in four.group.completions[:2]
        ]
        assert two.verdicts == four.verdicts[:2]
        reference = found.references[two.group.prompt.id]
        assert reference.lengths == tuple(four.group.lengths)
        assert reference.correct == tuple(bool(v.correct) for v in four.verdicts)
        assert reference.num_trained == 2
        assert four.group.completions[0].limit == 20


def test_a_recording_serves_a_run_of_some_of_its_prompts_in_any_order(
    tmp_path: Path, loop: BackgroundLoop
) -> None:
    path = written(tmp_path, loop, PROMPTS)
    found = read_recording(path, CONFIG, PROMPTS[:0:-1])
    assert set(found.references) == {j.group.prompt.id for j in found.judged} == {"b", "c"}


def test_the_same_seed_records_the_same_answers(tmp_path: Path, loop: BackgroundLoop) -> None:
    (tmp_path / "again").mkdir()
    paths = written(tmp_path, loop, PROMPTS), written(tmp_path / "again", loop, PROMPTS)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_what_does_not_change_the_answers_may_differ(tmp_path: Path, loop: BackgroundLoop) -> None:
    path = written(tmp_path, loop, PROMPTS)
    other = replace(CONFIG, seed=3, num_steps=7, algorithm=O1PrunerConfig(clip_low=0.1))
    read_recording(path, other, PROMPTS)


def test_another_model_other_settings_and_other_prompts_are_said_in_one_message(
    tmp_path: Path, loop: BackgroundLoop
) -> None:
    path = written(tmp_path, loop, PROMPTS)
    other = replace(
        CONFIG,
        model=ModelConfig(path="lab:long", dtype="float32"),
        rollout=ReplayConfig(samples_per_prompt=4, temperature=0.5),
    )
    longer = replace(PROMPTS[0], token_ids=np.array([1, 2, 3], np.int32))
    with pytest.raises(ValueError) as caught:
        read_recording(path, other, [longer, replace(PROMPTS[1], answer="5"), prompt("d")])
    assert str(caught.value) == (
        f"rollout.recording={path} is of another run: it was made with model.path=lab:short, "
        "rollout.temperature=1.0, and this run has model.path=lab:long, rollout.temperature=0.5; "
        "it lacks 1 of 3 prompts, first d; 2 of 3 prompts read otherwise or have another answer, "
        "first a. Record again with `laconic record RECIPE --to FILE`, or set what the recording "
        "was made with"
    )


def test_a_recording_that_is_not_there_is_named_with_the_command_that_makes_it(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match=r"no such file; make it by `laconic record RECIPE --to "):
        read_recording(tmp_path / "none", CONFIG, PROMPTS)


def test_a_recording_is_not_written_over_and_a_torn_one_is_begun_again(
    tmp_path: Path, loop: BackgroundLoop
) -> None:
    (tmp_path / f"{FILE}.partial").write_bytes(b"torn")
    path = written(tmp_path, loop, PROMPTS)
    with pytest.raises(FileExistsError, match="never written over"):
        written(tmp_path, loop, PROMPTS)
    assert len(read_recording(path, CONFIG, PROMPTS).judged) == 3


def test_a_grader_that_leaves_too_few_verdicts_ends_the_recording_without_a_file(
    tmp_path: Path, loop: BackgroundLoop
) -> None:
    async def fails_on_b(prompt: Prompt, completion: Completion) -> Verdict:
        failed = prompt.id == "b" and not completion.id.endswith("/0")
        return Verdict(correct=None if failed else True, reason="timeout")

    with pytest.raises(GraderError, match="on 1 prompts, first b, that fewer than"):
        written(tmp_path, loop, PROMPTS, fails_on_b)
    assert not (tmp_path / FILE).exists()


class Scorer:
    """A learner that finds every token of a recording less likely by `gap`."""

    def __init__(self, gap: float) -> None:
        self.gap = np.float32(gap)

    def logprobs(self, rows: Any) -> Any:
        return [row.sampler_logprobs - self.gap for row in rows]


def test_a_recording_by_other_weights_is_refused(tmp_path: Path, loop: BackgroundLoop) -> None:
    recorded = read_recording(written(tmp_path, loop, PROMPTS), CONFIG, PROMPTS)
    check_logprobs(recorded, CONFIG, cast(Any, Scorer(5e-4)))
    with pytest.raises(ProbeError, match=r"model.path=lab:short, by up to 0.5 \(allowed 0.001\)"):
        check_logprobs(recorded, CONFIG, cast(Any, Scorer(0.5)))


def test_the_settings_of_a_recording_are_those_that_its_answers_depend_on() -> None:
    found = settings_of(CONFIG)
    assert found["limit"] == "ConstantLimitConfig" and found["limit.max_response_tokens"] == 20
    assert found["rollout.samples_per_prompt"] == 4 and found["verifier"] == "ExactConfig"
    assert not {key for key in found if key.startswith(("algorithm", "seed", "learner", "run"))}
