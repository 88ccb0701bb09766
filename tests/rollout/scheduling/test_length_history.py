import json

import numpy as np
import pytest

from data.memory import PromptMemory
from data.types import Completion, Finish, Group, Prompt, Span
from rollout.scheduling.length_history import LengthHistory, predicted_tokens


def group(name, lengths):
    completions = tuple(
        Completion(
            id=f"{name}/{index}",
            text="",
            token_ids=np.zeros(length, np.int32),
            logprobs=np.zeros(length, np.float32),
            limit=1000,
            finish=Finish.STOP,
            spans=(Span(start=0, stop=length, weight_version=0),),
        )
        for index, length in enumerate(lengths)
    )
    prompt = Prompt(id=name, messages=(), token_ids=np.array([1]), answer="")
    return Group(prompt=prompt, completions=completions)


def test_the_first_epoch_counts_alone_and_later_ones_by_half():
    """The 90th percentile of 100, 200, ..., 1100 is the tenth of the eleven."""
    lengths = range(100, 1200, 100)
    assert predicted_tokens(None, lengths) == 1000
    assert predicted_tokens(400.0, lengths) == 700


def test_a_prompt_is_predicted_from_its_own_groups():
    history = LengthHistory(PromptMemory())
    history.observe([group("a", range(100, 1200, 100))])
    history.observe([group("b", [10] * 4)])
    history.observe([group("a", [500] * 4)])
    assert history.predicted("a") == 750
    assert history.predicted("b") == 10


def test_an_unseen_prompt_has_the_80th_percentile_of_all_completions():
    history = LengthHistory(PromptMemory())
    assert history.predicted("new") == 0
    history.observe([group("a", [10, 20, 30])])
    history.observe([group("b", [40, 50, 60])])
    assert history.predicted("new") == 50


def test_predictions_lie_beside_what_others_remember_of_a_prompt():
    memory = PromptMemory()
    memory.update("a", {"shortest_correct": 7})
    LengthHistory(memory).observe([group("a", [30])])
    assert memory.get("a") == {"shortest_correct": 7, "predicted_tokens": 30.0}


@pytest.mark.parametrize("name", ["a", "new"])
def test_a_restored_history_predicts_the_same(name):
    memory, restored_memory = PromptMemory(), PromptMemory()
    history, restored = LengthHistory(memory), LengthHistory(restored_memory)
    history.observe([group("a", [10, 20, 35])])
    restored_memory.load(json.loads(json.dumps(memory.state())))
    restored.load(json.loads(json.dumps(history.state())))
    for one in (history, restored):
        one.observe([group("a", [90, 80])])
    assert restored.predicted(name) == history.predicted(name) > 0
