"""Our rewards as functions for TRL: the numbers of our loop, or a message with a setting."""

from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import pytest

from data.types import Group, Verdict
from rewards.compose import gated, with_length
from rewards.gates.grpo_lambda import top_fraction
from rewards.gates.some_correct import some_correct
from rewards.length import cosine, kimi, overlong, shorter_better, slpo
from rewards.length.sigmoid import sigmoid_length_terms
from rewards.trl import batch_reward_func, group_reward_func

END = 1
SIGMOID = with_length(partial(sigmoid_length_terms, alpha=0.2))
GATED = gated(SIGMOID, partial(top_fraction, fraction=0.5, seed=0))


@dataclass(kw_only=True)
class Arguments:
    """The settings of TRL's GRPOConfig that the adapter reads."""

    num_generations: int = 2
    num_generations_eval: int | None = None
    per_device_train_batch_size: int = 4
    steps_per_generation: int = 1
    max_completion_length: int = 9
    world_size: int = 1
    process_index: int = 0


async def says_the_answer(prompt, completion):
    """Right when it ended and is the answer; no verdict for `?`."""
    if completion.text == "?":
        return Verdict(correct=None, reason="asked to fail")
    return Verdict(correct=completion.text == prompt.answer and not completion.truncated)


def batch(*texts: str, ends: tuple[int, ...] = (END,) * 4) -> dict[str, object]:
    """Two prompts of two completions; completion i has i + 1 tokens before its last one."""
    prompts = [[{"role": "user", "content": q}] for q in ("one?", "one?", "two?", "two?")]
    return {
        "prompts": prompts,
        "completions": [[{"role": "assistant", "content": text}] for text in texts],
        "completion_ids": [[5] * (i + 1) + [end] for i, end in enumerate(ends)],
        "answer": ["1", "1", "2", "2"],
        "source": ["lab"] * 4,
    }


def part(given: dict[str, object], start: int, stop: int) -> dict[str, object]:
    return {name: values[start:stop] for name, values in given.items()}  # type: ignore[index]


def terms(lengths: list[int], correct: list[bool]) -> list[float]:
    shaped = sigmoid_length_terms(lengths, correct, 0.2)
    return [c + s for c, s in zip(correct, shaped, strict=True)]


def test_lengths_correctness_and_groups_are_ours():
    reward = group_reward_func(SIGMOID, says_the_answer, Arguments(), [END])
    expected = terms([2, 3], [True, True]) + terms([4, 5], [False, True])
    assert reward(**batch("1", "1", "x", "2")) == expected


def test_a_missing_end_of_sequence_is_truncation():
    reward = group_reward_func(SIGMOID, says_the_answer, Arguments(), [END])
    given = batch("1", "1", "2", "2", ends=(END, 7, END, END))
    assert reward(**given) == terms([2, 3], [True, False]) + terms([4, 5], [True, True])


def test_a_term_of_the_limit_is_given_trls_longest_completion():
    """Lengths 2 to 5 under a limit of 5, of which the last 2 tokens are punished."""
    shaped = overlong.build_reward(overlong.OverlongConfig(cache_share=0.4))
    arguments = Arguments(max_completion_length=5)
    reward = group_reward_func(shaped, says_the_answer, arguments, [END])
    assert reward(**batch("1", "1", "2", "x")) == [2.0, 2.0, 1.5, -1.0]


def test_a_missing_end_of_sequence_has_exceeded_the_cosine_reward():
    shaped = cosine.build_reward(cosine.CosineConfig(exceeded=-7.0))
    reward = group_reward_func(shaped, says_the_answer, Arguments(max_completion_length=6), [END])
    first, exceeded, third, _ = reward(**batch("1", "1", "x", "2", ends=(END, 7, END, END)))
    assert exceeded == -7.0
    assert first == pytest.approx(1.75)
    assert third == pytest.approx(-2.5)


def test_a_warm_up_counts_trls_steps():
    shaped = kimi.build_reward(kimi.KimiConfig(weight=0.4, warmup_steps=2))
    reward = group_reward_func(shaped, says_the_answer, Arguments(), [END])
    given = batch("1", "1", "x", "2")
    assert reward(**given, trainer_state=SimpleNamespace(global_step=1)) == [1.0, 1.0, 0.0, 1.0]
    assert reward(**given, trainer_state=SimpleNamespace(global_step=2)) == [1.2, 0.8, 0.0, 0.8]


@pytest.mark.parametrize(
    ("shaped", "expected"),
    [
        (slpo.build_reward(slpo.SlpoConfig()), [1.5, 1.0, 0.0, 0.0]),
        (
            shorter_better.build_reward(shorter_better.ShorterBetterConfig(beta=0.5)),
            [2.0, 1.5, 0.0, 0.0],
        ),
    ],
    ids=["slpo", "shorter_better"],
)
def test_a_gated_term_is_scored_as_in_our_loop(shaped, expected):
    reward = batch_reward_func(gated(shaped, some_correct), says_the_answer, Arguments(), [END])
    assert reward(**batch("1", "1", "x", "x")) == expected


def test_prompts_as_text_are_read_too():
    given = batch("1", "x", "2", "2")
    given["prompts"] = ["one?", "one?", "two?", "two?"]
    given["completions"] = ["1", "x", "2", "2"]
    reward = group_reward_func(SIGMOID, says_the_answer, Arguments(), [END])
    assert reward(**given) == terms([2, 3], [True, False]) + terms([4, 5], [True, True])


def test_a_failed_grade_is_none_and_leaves_its_group():
    seen: list[list[int]] = []

    def reward(groups, verdicts):
        seen.extend(group.lengths for group in groups)
        return SIGMOID(groups, verdicts)

    arguments = Arguments(num_generations=4)
    given = batch("1", "?", "1", "x") | {"prompts": ["one?"] * 4, "answer": ["1"] * 4}
    values = group_reward_func(reward, says_the_answer, arguments, [END])(**given)
    a, b, c = terms([2, 4, 5], [True, True, False])
    assert values == [a, None, b, c]
    assert seen == [[2, 4, 5]]


def test_a_group_of_one_verdict_has_no_scores():
    reward = group_reward_func(SIGMOID, says_the_answer, Arguments(), [END])
    values = reward(**batch("?", "1", "2", "2"))
    assert values[:2] == [None, None]
    assert values[2:] == terms([4, 5], [True, True])


def test_parts_and_failures_go_to_trls_metrics():
    logged: dict[str, float] = {}
    reward = group_reward_func(SIGMOID, says_the_answer, Arguments(), [END])
    reward(**batch("?", "1", "2", "x"), log_metric=logged.__setitem__)
    assert logged == {
        "reward/failed": 2.0,
        "rewards/correct/mean": 0.5,
        "rewards/length/mean": pytest.approx(-0.05),
    }


def test_a_gate_ranks_the_whole_batch():
    reward = batch_reward_func(GATED, says_the_answer, Arguments(), [END])
    assert reward(**batch("1", "x", "2", "2")) == [1.0, 0.0, *terms([4, 5], [True, True])]


def test_two_processes_that_gather_score_as_one():
    given = batch("1", "x", "2", "2")
    whole = batch_reward_func(GATED, says_the_answer, Arguments(), [END])(**given)
    sent: dict[int, list[bytes]] = {}

    def of(process: int, start: int, stop: int, gather):
        arguments = Arguments(
            world_size=2, process_index=process, num_generations=2, per_device_train_batch_size=2
        )
        reward = batch_reward_func(GATED, says_the_answer, arguments, [END], gather)
        return reward(**part(given, start, stop))

    for split in (2, 3):
        for process, (start, stop) in enumerate([(0, split), (split, 4)]):

            def remember(own: list[bytes], process: int = process) -> list[bytes]:
                sent[process] = own
                raise InterruptedError

            with pytest.raises(InterruptedError):
                of(process, start, stop, remember)
        together = [of(0, 0, split, lambda own: own + sent[1])]
        together.append(of(1, split, 4, lambda own: sent[0] + own))
        assert together[0] + together[1] == whole


def test_a_reward_keeps_its_memory_between_batches():
    counts: dict[str, int] = {}

    def visits(groups: list[Group], verdicts):
        for group in groups:
            counts[group.prompt.id] = counts.get(group.prompt.id, 0) + 1
        return with_length(lambda n, c: [float(len(counts))] * len(n))(groups, verdicts)

    reward = batch_reward_func(visits, says_the_answer, Arguments(), [END])
    reward(**batch("1", "x", "2", "2"))
    reward(**batch("1", "x", "2", "2"))
    assert sorted(counts.values()) == [2, 2]


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (group_reward_func, Arguments(num_generations=3),
         "per_device_train_batch_size=4 with steps_per_generation=1: each process is given 4 .* "
         "num_generations=3; make the product of the two a multiple of 3"),
        (batch_reward_func, Arguments(world_size=2),
         "2 processes: .* pass gather=accelerate.utils.gather_object, or train in one process"),
        (group_reward_func, Arguments(num_generations_eval=1), "leave num_generations_eval unset"),
    ],
)  # fmt: skip
def test_a_trainer_that_gives_too_little_is_refused_at_once(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(SIGMOID, says_the_answer, arguments, [END])


def test_no_end_of_sequence_token_is_refused():
    with pytest.raises(ValueError, match=r"pass \[tokenizer\.eos_token_id\]"):
        group_reward_func(SIGMOID, says_the_answer, Arguments(), [])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (part(batch("1", "1", "2", "2"), 0, 3), "3 completions, which are not whole groups of num"),
        (part(batch("1", "1", "2", "2"), 1, 3), "completions 1 to 2 are of several prompts"),
        ({k: v for k, v in batch("1", "1", "2", "2").items() if k != "answer"},
         "columns prompt, source, and none with answers"),
        (batch("1", "1", "2", "2") | {"completions": [[{"content": "1"}] * 3] * 4}, "tool calls"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_said(given, message):
    reward = group_reward_func(SIGMOID, says_the_answer, Arguments(), [END])
    with pytest.raises(ValueError, match=message):
        reward(**given)
