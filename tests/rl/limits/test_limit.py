"""What every limit promises, and that one answer of it feeds all that comes after."""

import json

import pytest

from data.memory import PromptMemory
from data.sampler import PromptSampler
from rewards.verifiers.exact import ExactConfig
from rl.algorithms.dynamic_sampling import Oversampling
from rl.allocation.uniform import Uniform
from rl.cli.options import GROUPS, build
from rl.config import ConstantLimitConfig, OversamplingConfig, RunConfig
from rl.limits.limit import Limit
from rl.limits.palu import PaluAllConfig, PaluConfig
from rl.limits.siri import SiriCosineConfig, SiriStairConfig, SiriStairCosineConfig
from rl.limits.staged import StagedConfig
from rl.run.loop import Run, roll_out
from rollout.background import BackgroundLoop
from rollout.config import TransformersConfig
from rollout.samplings import StreamSettings
from rollout.scheduling.length_history import LengthHistory
from rollout.scheduling.priorities import as_drawn
from rollout.stream import Stream
from tests.fakes import END, FakeEngine
from tests.rewards.groups import prompt, verdicts
from tests.rl.limits.launched import sampled

CYCLE = {"max_response_tokens": 40, "shortest_tokens": 2, "cycle_steps": 6}
CONFIGS = [
    ConstantLimitConfig(max_response_tokens=40),
    StagedConfig(max_response_tokens=40, tokens=[30, 9], starts=[0, 3]),
    SiriCosineConfig(**CYCLE),
    SiriStairCosineConfig(**CYCLE),
    SiriStairConfig(**CYCLE),
    PaluConfig(max_response_tokens=40),
    PaluAllConfig(max_response_tokens=40),
]
each_limit = pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)


def test_every_limit_of_ours_is_held_to_the_contract():
    ours = {option.config for name, option in GROUPS["limit"].items() if name != "custom"}
    assert {type(config) for config in CONFIGS} == ours


@each_limit
def test_a_limit_lies_within_what_the_run_has_room_for(config):
    limit = build("limit", config)
    assert isinstance(limit, Limit)
    for step in range(12):
        tokens = limit.limit(prompt("a"), step)
        assert type(tokens) is int and 1 <= tokens <= config.max_response_tokens
        limit.observe([sampled("a", [1, tokens], tokens)], [verdicts([True, step % 3 > 0])])


@each_limit
def test_a_limit_goes_on_after_its_state_was_saved_as_json(config):
    limit, restored = build("limit", config), build("limit", config)
    limit.observe([sampled("a", [3, 7], 40)], [verdicts([True, True])])
    restored.load(json.loads(json.dumps(limit.state())))
    assert [restored.limit(prompt("a"), step) for step in range(9)] == [
        limit.limit(prompt("a"), step) for step in range(9)
    ]


def test_the_constant_limit_is_the_longest_response():
    limit = build("limit", ConstantLimitConfig(max_response_tokens=40))
    assert [limit.limit(prompt("a"), step) for step in (0, 7)] == [40, 40]


@pytest.fixture
def loop():
    background = BackgroundLoop()
    yield background
    background.close()


@each_limit
def test_generation_and_grading_follow_the_limit_of_the_launch(config, loop):
    """The loop asks once; the completion carries the answer, is cut off there and judged by it."""
    limit = build("limit", config)
    settings = StreamSettings(group_size=8, seed=1)
    verify = build("verifier", ExactConfig(), None)
    engine = FakeEngine()
    stream = Stream(engine, verify, lambda group, found: True, loop, settings)
    rest = dict.fromkeys(
        ("roll_out", "reward", "credit", "learner", "transfer", "rest", "probe", "interrupts")
    )
    run = Run(
        config=RunConfig(limit=config, prompts_per_step=1, rollout=TransformersConfig()),
        sampler=PromptSampler([prompt("a")], seed=0),
        memory=PromptMemory(),
        oversampling=Oversampling(OversamplingConfig()),
        allocation=Uniform(),
        limit=limit,
        stream=stream,
        lengths=LengthHistory(PromptMemory()),
        rank=as_drawn,
        **rest,
    )
    try:
        for step in range(6):
            engine.weight_version = step
            asked = limit.limit(prompt("a"), step)
            [rolled], [judged], _ = roll_out(run, step)
            for completion, verdict in zip(rolled.completions, judged, strict=True):
                ended = completion.token_ids[-1] == END
                assert (completion.limit, completion.truncated) == (asked, not ended)
                assert (
                    completion.num_tokens == asked if not ended else completion.num_tokens <= asked
                )
                assert ended or not verdict.correct
    finally:
        stream.close()
