"""Verifier, functions and reward of a recipe, wired, with faults that are real."""

import time
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import pytest

from data.config import ModelConfig
from data.memory import PromptMemory
from data.types import Finish, Group, Score, Verdict
from rewards.config import CustomRewardConfig
from rewards.correct import CorrectConfig
from rewards.gates.custom import CustomGateConfig
from rewards.gates.none import NoGateConfig
from rewards.length.da_dler import DaDlerConfig
from rewards.length.dot import DotConfig
from rewards.length.sigmoid import SigmoidConfig
from rewards.protocols import RewardError
from rewards.verifiers.custom import CustomVerifierConfig
from rewards.verifiers.exact import ExactConfig
from rewards.verifiers.math import MathConfig
from rl.cli.judging import (
    build_reward,
    build_verifier,
    check_user_code,
    group_filter,
    group_revision,
    start_pool,
    training_verifier,
)
from rl.config import AlgorithmConfig, RunConfig, SamplingFilter
from rollout.background import BackgroundLoop
from rollout.books import Fate
from rollout.samplings import Request, StreamSettings
from rollout.stream import GraderError, Stream, as_it_is
from tests.fakes import FakeEngine
from tests.fault_table import AddFault
from tests.rl.builders import completion, prompt

USERS = "tests.rewards.users"
PROMPTS = [prompt(f"p{index}", answer="7") for index in range(3)]


def config(**sections: Any) -> RunConfig:
    right: dict[str, Any] = {
        "verifier": ExactConfig(), "reward": CorrectConfig(), "gate": NoGateConfig()
    }  # fmt: skip
    return RunConfig(**right | sections)


def judged_groups(run: RunConfig, prompts: int = 3) -> tuple[list[Any], dict[Fate, int], Any]:
    """What a stream over the fake engine hands on, its fates, and the scores of it."""
    with ExitStack() as parts:
        loop = parts.enter_context(closing(BackgroundLoop()))
        pool = start_pool(parts, run.verifier, loop)
        verify = training_verifier(run, pool, build_verifier(run, pool))
        settings = StreamSettings(group_size=4, seed=0)
        stream = Stream(FakeEngine(), verify, lambda group, verdicts: True, loop, settings)
        parts.enter_context(closing(stream))
        reward = build_reward(run, parts, loop, PromptMemory())
        stream.submit(Request(prompt=p, limit=64, step=0) for p in PROMPTS[:prompts])
        batch = stream.next_batch(prompts, version=0)
        scores = reward([j.group for j in batch], [j.verdicts for j in batch])
        return batch, stream.fates, scores


def test_a_function_adds_its_part_to_the_reward() -> None:
    reward = CorrectConfig(functions={"words": f"{USERS}.num_words"})
    batch, fates, scores = judged_groups(config(reward=reward))
    assert fates[Fate.GRADER_FAILED] == 0
    for judged, row in zip(batch, scores, strict=True):
        for completion_, score in zip(judged.group.completions, row, strict=True):
            words = float(len(completion_.text.split()))
            assert score.parts == {"correct": float(score.correct), "words": words}
            assert score.total == score.parts["correct"] + words


@pytest.mark.parametrize("fault", ["nan", "dies", "hangs", "raises"])
def test_what_fails_to_be_judged_leaves_its_group_and_is_counted(
    fault: str, add_fault: AddFault
) -> None:
    """All completions fail: no group is left, and none of them counts as wrong."""
    reward = CorrectConfig(functions={"style": f"{USERS}.{fault}"})
    began = time.monotonic()
    batch, fates, _ = judged_groups(
        config(reward=reward, verifier=ExactConfig(timeout_seconds=0.5)), prompts=1
    )
    assert batch == []
    assert fates[Fate.GRADER_FAILED] == 4
    outcome = "4 of 4 completions leave their group, counted"
    add_fault(f"a grader: {fault} (0.5 s each)", outcome, f"{time.monotonic() - began:.1f} in all")


def test_a_verifier_that_always_fails_stops_the_run_by_name(add_fault: AddFault) -> None:
    verifier = CustomVerifierConfig(target=f"{USERS}.raises")
    began = time.monotonic()
    with pytest.raises(GraderError, match=r"11 of the last 11 .*users\.raises raised ZeroDivis"):
        judged_groups(config(verifier=verifier))
    seconds = f"{time.monotonic() - began:.1f}"
    add_fault("a grader that always raises", "GraderError after 11 of 11 failures", seconds)


def test_the_format_part_is_added_to_any_reward() -> None:
    run = config(reward=CorrectConfig(format_weight=0.25))
    formed = completion("a", 3, text=r"hm</think> \boxed{7}")
    cut = completion("b", 3, Finish.LIMIT, text=r"hm</think> \boxed{7}")
    with ExitStack() as parts:
        loop = parts.enter_context(closing(BackgroundLoop()))
        verify = build_verifier(run, start_pool(parts, run.verifier, loop))
        verdicts = [[loop.run(verify(PROMPTS[0], each)) for each in (formed, cut)]]
        groups = [Group(prompt=PROMPTS[0], completions=(formed, cut))]
        scores = build_reward(run, parts, loop, PromptMemory())(groups, verdicts)
    assert scores == [
        [
            Score(correct=True, parts={"correct": 1.0, "format": 0.25}, total=1.25),
            Score(correct=False, parts={"correct": 0.0, "format": 0.0}, total=0.0),
        ]
    ]


def test_a_users_reward_scores_whole_updates_in_its_process() -> None:
    reward = CustomRewardConfig(target="tests.rewards.user_rewards.counting")
    _, _, scores = judged_groups(config(reward=reward))
    assert [[score.total for score in row] for row in scores] == [[1.0] * 4] * 3


def test_a_users_gate_takes_the_length_part_away() -> None:
    """Right answers are paid for being shorter than the average, in every second update alone."""
    gate = CustomGateConfig(target="tests.rewards.user_gates.every_second")
    with ExitStack() as parts:
        loop = parts.enter_context(closing(BackgroundLoop()))
        run = config(reward=SigmoidConfig(alpha=0.5), gate=gate)
        reward = build_reward(run, parts, loop, PromptMemory())
        groups = [Group(prompt=PROMPTS[0], completions=(completion("a", 5), completion("b", 11)))]
        verdicts = [[Verdict(correct=True)] * 2]
        updates = [reward(groups, verdicts) for _ in range(2)]
    lengths = [[score.parts["length"] for score in row] for [row] in updates]
    assert lengths[0] == [0.0, 0.0]
    # 5 and 11 are one standard deviation from their mean: -0.5 sigmoid(-1) and -0.5 sigmoid(1).
    assert lengths[1] == pytest.approx([-0.13447, -0.36553], abs=1e-5)
    assert [[s.total for s in row] for [row] in updates] == [
        [1.0, 1.0], [1 + length for length in lengths[1]]
    ]  # fmt: skip


def test_a_gate_on_a_users_reward_without_a_length_part_ends_the_run() -> None:
    reward = CustomRewardConfig(target="tests.rewards.user_rewards.counting")
    gate = CustomGateConfig(target="tests.rewards.user_gates.some_right")
    with pytest.raises(RewardError, match=r"counting: its scores have the parts mine; a gate acts"):
        judged_groups(config(reward=reward, gate=gate))


def test_code_that_cannot_be_loaded_is_found_before_anything_starts() -> None:
    good = config(reward=CorrectConfig(functions={"words": f"{USERS}.num_words"}))
    check_user_code(good)
    for section, wrong in {
        r"gate\.target=nowhere\.k": {"gate": CustomGateConfig(target="nowhere.k")},
        r"verifier\.target=nowhere\.f": {"verifier": CustomVerifierConfig(target="nowhere.f")},
        r"reward\.target=nowhere\.g": {"reward": CustomRewardConfig(target="nowhere.g")},
        r"reward\.functions\.h=nowhere\.h": {"reward": CorrectConfig(functions={"h": "nowhere.h"})},
    }.items():
        with pytest.raises(ValueError, match=rf"{section}: cannot be imported"):
            check_user_code(replace(good, **wrong))


def test_without_code_of_the_users_no_process_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    check_user_code(config(verifier=MathConfig()))


def test_only_dot_revises_groups_and_it_cuts_text_with_the_tokens() -> None:
    assert group_revision(config()) is as_it_is
    dot = DotConfig(num_stds=0.5, margin_tokens=2)
    revise = group_revision(config(model=ModelConfig(path="lab:short"), reward=dot))
    group = Group(prompt=prompt("p"), completions=(completion("a", 1), completion("b", 9)))
    # mean 5, std 5.66: an outlier begins beyond 7 tokens.
    revised, verdicts = revise(group, [Verdict(correct=True)] * 2)
    assert revised.lengths == [1, 7]
    assert [verdict.correct for verdict in verdicts] == [True, False]
    assert revised.completions[1].text != group.completions[1].text


@pytest.mark.parametrize(
    ("algorithm", "all_right", "mixed"),
    [
        (AlgorithmConfig(), True, True),
        (AlgorithmConfig(dynamic_sampling=True), False, True),
        (
            AlgorithmConfig(dynamic_sampling=True, dynamic_sampling_by=SamplingFilter.reward),
            True,
            False,
        ),
    ],
)
def test_groups_are_filtered_as_the_recipe_says(
    algorithm: AlgorithmConfig, all_right: bool, mixed: bool
) -> None:
    """Of two right answers one is late; of a right one and a wrong one the right one is."""
    keep = group_filter(
        config(algorithm=algorithm, reward=DaDlerConfig(thresholds=[], deadlines=[10]))
    )
    group = Group(prompt=prompt("p"), completions=(completion("a", 5), completion("b", 11)))
    assert keep(group, [Verdict(correct=True), Verdict(correct=True)]) is all_right
    assert keep(group, [Verdict(correct=False), Verdict(correct=True)]) is mixed
