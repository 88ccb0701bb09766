import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import (
    Completion,
    Finish,
    Group,
    Prompt,
    Span,
    SpanKind,
    prompt_id,
    read_only,
)

USER = {"role": "user", "content": "What is 1 + 1?"}


def completion(spans, num_tokens, finish=Finish.STOP):
    return Completion(
        id="c",
        text="",
        token_ids=np.zeros(num_tokens),
        logprobs=np.zeros(num_tokens),
        limit=10,
        finish=finish,
        spans=spans,
    )


def test_a_prompt_id_is_the_same_on_every_machine():
    assert prompt_id("gsm8k", (USER,)) == "746d54ab9ac97d7c"


def test_a_prompt_id_ignores_the_order_of_keys_and_nothing_else():
    swapped = {"content": USER["content"], "role": "user"}
    assert prompt_id("s", (USER,)) == prompt_id("s", (swapped,))
    others = {
        prompt_id("t", (USER,)),
        prompt_id("s", (USER, USER)),
        prompt_id("s", ({**USER, "content": "What is 1 + 1? "},)),
        prompt_id("s", ({**USER, "role": "system"},)),
    }
    assert len(others | {prompt_id("s", (USER,))}) == 5


def test_length_counts_sampled_tokens_only():
    spans = (
        Span(start=0, stop=3, weight_version=1),
        Span(start=3, stop=7, kind=SpanKind.INJECTED, weight_version=9),
        Span(start=7, stop=9, weight_version=2),
    )
    both = completion(spans, 9)
    assert both.num_tokens == 5
    assert both.weight_versions == (1, 2)
    prompt = Prompt(id="p", messages=(USER,), token_ids=[1], answer="2")
    assert Group(prompt=prompt, completions=(both, both)).lengths == [5, 5]


@pytest.mark.parametrize("finish", list(Finish))
def test_only_the_limit_truncates(finish):
    spans = (Span(start=0, stop=1, weight_version=0),)
    assert completion(spans, 1, finish).truncated == (finish is Finish.LIMIT)


def test_arrays_of_value_types_refuse_writes_and_leave_the_givers_alone():
    given_ids = np.array([1, 2], np.int32)
    prompt = Prompt(id="p", messages=(USER,), token_ids=given_ids, answer="2")
    with pytest.raises(ValueError, match="read-only"):
        prompt.token_ids[0] = 5
    given_ids[0] = 5
    assert prompt.token_ids.tolist() == [1, 2]
    with pytest.raises(dataclasses.FrozenInstanceError):
        prompt.answer = "3"


def test_tokens_without_their_log_probs_are_our_mistake():
    with pytest.raises(AssertionError, match="one log-prob per token"):
        dataclasses.replace(completion((), 2), logprobs=np.zeros(3))


@given(st.lists(st.integers(0, 2**31 - 1)))
def test_read_only_keeps_values_and_shares_what_cannot_be_written(values):
    array = read_only(values, np.int32)
    assert array.tolist() == values
    assert read_only(array, np.int32) is array
