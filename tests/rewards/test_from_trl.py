"""Reward functions written for TRL are accepted as they are, and held to what they return."""

import asyncio
import logging
import math
import sys
import textwrap

import numpy as np
import pytest

from data.types import Completion, Finish, Group, Prompt, Span
from rewards.config import CustomRewardConfig, RewardShape
from rewards.custom import build_reward, shape_of
from rewards.from_trl import as_messages, as_text, from_trl
from rewards.protocols import RewardError
from tests.rewards.groups import verdicts

VERDICTS = [verdicts([True, False]), verdicts([True])]


def group(question: str, texts: list[str], **extra: object) -> Group:
    """Completions of one token per word."""
    return Group(
        prompt=Prompt(
            id=question,
            messages=({"role": "user", "content": question},),
            token_ids=np.zeros(1),
            answer="3",
            extra=extra,
        ),
        completions=tuple(
            Completion(
                id=f"{question}/{i}",
                text=text,
                token_ids=np.arange(len(text.split())),
                logprobs=np.zeros(len(text.split())),
                limit=9,
                finish=Finish.STOP,
                spans=(Span(start=0, stop=len(text.split()), weight_version=7),),
            )
            for i, text in enumerate(texts)
        ),
    )


GROUPS = [group("one?", ["a b", "c"], answer="1", level=1), group("two?", ["d"], answer="2")]


def totals(function, render=as_messages):
    scores = from_trl(function, "mine.function", render)(GROUPS, VERDICTS)
    assert [[s.correct for s in row] for row in scores] == [[True, False], [True]]
    return [[s.total for s in row] for row in scores]


def test_conversational_completions_columns_and_token_ids_arrive_as_trl_passes_them():
    def function(prompts, completions, completion_ids, answer, level, trainer_state, **kwargs):
        assert prompts[1] == [{"role": "user", "content": "one?"}]
        assert [c[0]["content"] for c in completions] == ["a b", "c", "d"]
        assert completions[0] == [{"role": "assistant", "content": "a b"}]
        assert completion_ids == [[0, 1], [0], [0]]
        assert (answer, level) == (["1", "1", "2"], [1, 1, None])
        assert trainer_state.global_step == 7
        kwargs["log_metric"]("mine", 1.0)
        kwargs["log_extra"]("mine", ["x"] * 3)
        return [0.5, 1, True]

    assert totals(function) == [[0.5, 1.0], [1.0]]


def test_standard_completions_are_text():
    def function(prompts, completions):
        assert prompts == ["one?", "one?", "two?"]
        return [float(len(c)) for c in completions]

    assert totals(function, as_text) == [[3.0, 1.0], [1.0]]


def test_the_score_is_the_functions_value_under_the_functions_name():
    [[first, _], _] = from_trl(lambda completions: [1, 2, 3], "mine.brevity", as_text)(
        GROUPS, VERDICTS
    )
    assert (first.parts, first.total) == ({"brevity": 1.0}, 1.0)


def test_asynchronous_functions_and_callable_objects_are_awaited():
    class Judge:
        async def __call__(self, completions, **kwargs):
            await asyncio.sleep(0)
            return np.arange(len(completions)) / 2

    async def function(completions):
        return [0.0, 0.5, 1.0]

    assert totals(Judge()) == totals(function) == [[0.0, 0.5], [1.0]]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([1.0, 2.0], "returned 2 rewards for 3 completions"),
        ([1.0, None, 2.0], "returned None for completion one?/1 of the prompt 'one?'; return a"),
        ([1.0, math.nan, 2.0], "returned nan for completion one?/1"),
        ([1.0, 2.0, math.inf], "returned inf for completion two?/0"),
        ([1.0, "2", 3.0], "returned '2' for completion"),
        ([1.0, [2], 3.0], "returned a list for completion"),
        (1.0, "returned float, not a list of numbers"),
        (None, "returned NoneType, not a list"),
    ],
)
def test_what_is_no_reward_stops_with_the_completion(returned, message):
    with pytest.raises(RewardError, match=r"reward\.target=mine\.function: ") as caught:
        totals(lambda completions: returned)
    assert message in str(caught.value)


def test_an_exception_is_said_with_its_line_and_the_format_that_was_given():
    def function(completions):
        return [float(c) for c in completions]

    with pytest.raises(RewardError, match=r"raised TypeError: .* \(line \d+ of .*test_from_trl"):
        totals(function)
    with pytest.raises(RewardError, match=r"set reward\.shape=trl_text for text"):
        totals(function)


def test_a_column_that_the_data_lack_is_named_with_those_they_have():
    with pytest.raises(RewardError, match=r"needs solution, which .* columns answer, level$"):
        totals(lambda completions, solution: [])


def test_a_conversation_is_no_text():
    prompt = GROUPS[0].prompt
    twice = Prompt(id="x", messages=prompt.messages * 2, token_ids=prompt.token_ids, answer="3")
    with pytest.raises(RewardError, match=r"has 2 messages, not one text; set reward\.shape=trl"):
        as_text(twice, GROUPS[0].completions[0])


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda groups, verdicts: [], RewardShape.laconic),
        (lambda groups, verdicts, alpha=1: [], RewardShape.laconic),
        (lambda completions, **kwargs: [], RewardShape.trl),
        (lambda prompts, answer: [], RewardShape.trl),
        (lambda completion_ids, **kwargs: [], RewardShape.trl),
        (lambda a, b: [], None),
        (lambda **kwargs: [], None),
        (lambda groups, verdicts, completions: [], None),
        (dict, None),
    ],
)
def test_the_shape_is_what_the_parameters_names_tell(function, shape):
    assert shape_of(function) is shape


@pytest.fixture
def beside_the_recipe(tmp_path, monkeypatch):
    (tmp_path / "my_trl_reward.py").write_text(
        textwrap.dedent(
            """
            def short(completions, **kwargs):
                return [-len(c[0]["content"]) for c in completions]

            def short_text(completions, **kwargs):
                return [-len(c) for c in completions]

            def anything(*args, **kwargs):
                return [1.0] * 3
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_trl_reward", None)


@pytest.mark.usefixtures("beside_the_recipe")
def test_a_trl_function_is_a_target_and_the_log_says_what_was_found(caplog):
    with caplog.at_level(logging.INFO):
        reward = build_reward(CustomRewardConfig(target="my_trl_reward.short"))
    assert [[s.total for s in row] for row in reward(GROUPS, VERDICTS)] == [[-3, -1], [-1]]
    assert "is TRL's kind of function: function(completions, **kwargs)" in caplog.text


@pytest.mark.usefixtures("beside_the_recipe")
def test_text_is_chosen_by_the_recipe():
    config = CustomRewardConfig(target="my_trl_reward.short_text", shape=RewardShape.trl_text)
    assert build_reward(config)(GROUPS, VERDICTS)[0][0].total == -3


@pytest.mark.usefixtures("beside_the_recipe")
def test_a_shape_that_cannot_be_told_must_be_set():
    with pytest.raises(ValueError, match=r"function\(\*args, \*\*kwargs\) is neither") as caught:
        build_reward(CustomRewardConfig(target="my_trl_reward.anything"))
    assert "set reward.shape=laconic, trl (messages) or trl_text" in str(caught.value)
    config = CustomRewardConfig(target="my_trl_reward.anything", shape=RewardShape.trl)
    assert build_reward(config)(GROUPS, VERDICTS)[1][0].total == 1.0


@pytest.mark.parametrize(
    ("target", "args", "expected"),
    [
        ("trl.rewards.think_format_reward", {}, [[0.0, 0.0], [0.0]]),
        ("trl.rewards.get_soft_overlong_punishment",
         {"max_completion_len": 3, "soft_punish_cache": 2}, [[-0.5, 0.0], [0.0]]),
        ("trl.rewards.get_repetition_penalty_reward", {"ngram_size": 1}, [[0.0, 0.0], [0.0]]),
    ],
)  # fmt: skip
def test_rewards_that_trl_ships_are_accepted_unchanged(target, args, expected):
    reward = build_reward(CustomRewardConfig(target=target, args=args))
    assert [[s.total for s in row] for row in reward(GROUPS, VERDICTS)] == expected
