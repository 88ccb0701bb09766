import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.memory import PromptMemory


def test_methods_share_a_prompts_record():
    memory = PromptMemory()
    memory.update("a", {"shortest_correct": 120})
    memory.update("a", {"pass_rates": [0.5, 0.75]})
    assert memory.get("a") == {"shortest_correct": 120, "pass_rates": [0.5, 0.75]}
    assert memory.get("b") == {}
    assert "a" in memory
    assert "b" not in memory


def test_the_least_recently_updated_prompt_is_forgotten():
    memory = PromptMemory(capacity=2)
    memory.update("a", {"n": 1})
    memory.update("b", {"n": 2})
    memory.update("a", {"n": 3})
    memory.update("c", {"n": 4})
    assert [memory.get(name) for name in "abc"] == [{"n": 3}, {}, {"n": 4}]


def test_reading_does_not_keep_a_prompt():
    memory = PromptMemory(capacity=2)
    memory.update("a", {"n": 1})
    memory.update("b", {"n": 2})
    memory.get("a")
    memory.update("c", {"n": 3})
    assert "a" not in memory


def test_a_record_that_was_read_is_a_copy():
    memory = PromptMemory()
    memory.update("a", {"n": 1})
    memory.get("a")["n"] = 5
    assert memory.get("a") == {"n": 1}


def test_later_updates_leave_a_saved_state_as_it_was():
    memory = PromptMemory()
    memory.update("a", {"n": 1})
    state = memory.state()
    memory.update("a", {"n": 2})
    memory.update("b", {"n": 3})
    assert state == {"records": [["a", {"n": 1}]]}


def test_a_smaller_memory_loads_the_newest():
    large, small = PromptMemory(), PromptMemory(capacity=1)
    large.update("a", {"n": 1})
    large.update("b", {"n": 2})
    small.load(large.state())
    assert small.get("b") == {"n": 2}
    assert len(small) == 1


def test_no_room_for_a_single_prompt_is_refused():
    with pytest.raises(ValueError, match="capacity=0"):
        PromptMemory(capacity=0)


updates = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9)), max_size=30)


@given(updates, updates, st.sampled_from(["json", "msgpack"]))
def test_a_restored_memory_goes_on_as_the_original(before, after, wire):
    original, restored = PromptMemory(capacity=3), PromptMemory(capacity=3)
    for name, value in before:
        original.update(name, {"n": value})
    state = original.state()
    if wire == "json":
        restored.load(json.loads(json.dumps(state)))
    else:
        restored.load(msgspec.msgpack.decode(msgspec.msgpack.encode(state)))
    for name, value in after:
        original.update(name, {"n": value})
        restored.update(name, {"n": value})
    assert restored.state() == original.state()
    assert len(restored) <= 3
