import pickle

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.config import BudgetKind
from data.types import Budget, Completion, Finish, Group, Prompt, Span, SpanKind, Verdict
from data.wire import decode, encode

spans = st.builds(
    Span,
    start=st.integers(0, 9),
    stop=st.integers(9, 99),
    kind=st.sampled_from(SpanKind),
    weight_version=st.integers(0, 10**6),
    parent=st.none() | st.text(),
)
tokens = st.lists(st.tuples(st.integers(0, 2**31 - 1), st.floats(-50, 0, width=32)), max_size=20)


@st.composite
def completions(draw):
    pairs = draw(tokens)
    return Completion(
        id=draw(st.text()),
        text=draw(st.text()),
        token_ids=np.array([t for t, _ in pairs], np.int32),
        logprobs=np.array([p for _, p in pairs], np.float32),
        limit=draw(st.integers(1, 10**6)),
        finish=draw(st.sampled_from(Finish)),
        spans=tuple(draw(st.lists(spans, max_size=3))),
    )


prompts = st.builds(
    Prompt,
    id=st.text(),
    messages=st.tuples(st.fixed_dictionaries({"role": st.text(), "content": st.text()})),
    token_ids=st.lists(st.integers(0, 2**31 - 1)).map(np.array),
    answer=st.text(),
    budget=st.none()
    | st.builds(Budget, kind=st.sampled_from(BudgetKind), amount=st.integers(0, 10**6)),
    source=st.text(),
    extra=st.dictionaries(st.text(), st.integers(-5, 5) | st.text() | st.booleans()),
)
groups = st.builds(
    Group, prompt=prompts, completions=st.lists(completions(), max_size=3).map(tuple)
)


@settings(max_examples=25, deadline=None)
@given(groups)
def test_a_group_arrives_as_it_was_sent(group):
    arrived = decode(encode(group), Group)
    assert encode(arrived) == encode(group)
    assert arrived.prompt.messages == group.prompt.messages
    assert arrived.prompt.extra == group.prompt.extra
    assert arrived.prompt.budget == group.prompt.budget
    for one, other in zip(arrived.completions, group.completions, strict=True):
        np.testing.assert_array_equal(one.token_ids, other.token_ids)
        np.testing.assert_array_equal(one.logprobs, other.logprobs)
        assert (one.id, one.text, one.finish, one.spans) == (
            other.id,
            other.text,
            other.finish,
            other.spans,
        )


@settings(max_examples=25, deadline=None)
@given(groups)
def test_arrays_arrive_read_only_and_in_their_types(group):
    for completion in decode(encode(group), Group).completions:
        assert completion.token_ids.dtype == np.int32
        assert completion.logprobs.dtype == np.float32
        assert not completion.token_ids.flags.writeable


@settings(max_examples=40, deadline=None)
@given(completions(), st.data())
def test_a_torn_message_is_refused(completion, data):
    payload = encode(completion)
    cut = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises((msgspec.DecodeError, ValueError)):
        decode(payload[:cut], Completion)


def test_another_type_than_expected_is_refused():
    with pytest.raises(msgspec.ValidationError):
        decode(encode(Verdict(correct=True)), Span)


def test_pickles_are_not_read():
    with pytest.raises(msgspec.DecodeError):
        decode(pickle.dumps({"correct": True}), Verdict)


def test_what_is_no_value_type_cannot_be_sent():
    with pytest.raises(TypeError, match="object cannot be sent"):
        encode([object()])
