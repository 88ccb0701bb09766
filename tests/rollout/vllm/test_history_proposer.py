"""The proposer against a stand-in for vLLM's model runner: what it reads there, and when."""

from types import SimpleNamespace

import numpy as np
import pytest

from rollout.drafting.config import HistoryConfig
from rollout.drafting.history import History, Output, prefix_keys
from rollout.vllm.history_proposer import HistoryProposer, up_to_end

END = 9
TABLE = (np.zeros(0, np.int32), np.zeros((0, 0), np.int32))


class Runner:
    """vLLM's V1 model runner, as far as the proposer reads it."""

    def __init__(self):
        self.requests = {}
        self.input_batch = SimpleNamespace(req_ids=[])

    def add(self, request, prompt):
        state = SimpleNamespace(prompt_token_ids=prompt, output_token_ids=[])
        self.requests[request] = state

    def end(self, request):
        del self.requests[request]

    def step(self, proposer, sampled):
        """A step in which the rows are the keys of `sampled`, in order."""
        self.input_batch.req_ids = list(sampled)
        for request, tokens in sampled.items():
            self.requests[request].output_token_ids.extend(tokens)
        drafts = proposer.propose(list(sampled.values()), *TABLE, slot_mappings=None)
        return dict(zip(sampled, drafts, strict=True))


def proposer_of(eos_token_id=END):
    return HistoryProposer(
        SimpleNamespace(
            scheduler_config=SimpleNamespace(max_num_seqs=4),
            model_config=SimpleNamespace(
                max_model_len=64, hf_config=SimpleNamespace(eos_token_id=eos_token_id)
            ),
            speculative_config=SimpleNamespace(num_speculative_tokens=4),
        )
    )


@pytest.fixture
def started():
    runner, proposer = Runner(), proposer_of()
    proposer.start(runner, HistoryConfig(outputs_per_prompt=4))
    return runner, proposer


def test_nothing_is_drafted_before_the_start():
    assert proposer_of().propose([[1], []], *TABLE) == [[], []]


def test_siblings_share_drafts_across_moved_rows(started):
    runner, proposer = started
    for name in "ab":
        runner.add(name, [5, 6])
    runner.step(proposer, {"a": [1, 2], "b": [1]})
    assert runner.step(proposer, {"b": [2], "a": [3, 4]}) == {"b": [3, 4], "a": []}


def test_row_whose_prompt_is_not_read_yet_drafts_nothing(started):
    runner, proposer = started
    for name in "ab":
        runner.add(name, [5, 6])
    assert runner.step(proposer, {"a": [], "b": [1]}) == {"a": [], "b": []}


def test_preempted_request_goes_on_where_it_was(started):
    runner, proposer = started
    for name in "ab":
        runner.add(name, [5, 6])
    runner.step(proposer, {"a": [1, 2, 3, 4], "b": [1]})
    runner.step(proposer, {"a": [7]})
    assert runner.step(proposer, {"b": [2, 3]}) == {"b": [4, 7]}


def test_ended_output_is_drafted_from_to_its_end_and_no_further(started):
    """8 was sampled behind the end by the step that accepted it; vLLM drops it."""
    runner, proposer = started
    runner.add("a", [5, 6])
    runner.step(proposer, {"a": [1, 2, END, 8]})
    runner.end("a")
    runner.add("b", [5, 6])
    assert runner.step(proposer, {"b": [1]}) == {"b": [2, END]}


def test_acceptance_is_counted_from_the_second_step_on(started):
    runner, proposer = started
    runner.add("a", [5, 6])
    runner.step(proposer, {"a": [1, 2, 3, END]})
    runner.end("a")
    runner.add("b", [5, 6])
    runner.step(proposer, {"b": [1]})
    runner.step(proposer, {"b": [2, 7]})
    taken = proposer.take_acceptance()
    assert (taken.verifications, taken.drafted_at, taken.accepted_at) == (1, [1, 1, 1], [1, 0, 0])
    assert proposer.take_acceptance().verifications == 0


def test_running_requests_are_saved_and_go_on(started):
    runner, proposer = started
    runner.add("a", [5, 6])
    runner.step(proposer, {"a": [1, 2, 3]})
    ((_, outputs),) = proposer.state()["prompts"]
    assert len(outputs) == 1
    assert runner.step(proposer, {"a": [4, 1, 2]}) == {"a": [3, 4, 1, 2]}


def test_new_weights_reach_the_history(started):
    runner, proposer = started
    proposer.new_weights(3)
    runner.add("a", [5, 6])
    runner.step(proposer, {"a": [1]})
    ((_, ((version, _),)),) = proposer.state()["prompts"]
    assert version == 3


@pytest.mark.parametrize("ends", [[7, END], END])
def test_model_has_one_end_or_several(ends):
    runner, proposer = Runner(), proposer_of(ends)
    proposer.start(runner, HistoryConfig())
    runner.add("a", [5])
    runner.step(proposer, {"a": [1, END, 8]})
    runner.end("a")
    runner.add("b", [5])
    assert runner.step(proposer, {"b": [1]}) == {"b": [END]}


def test_histories_grow_in_the_order_in_which_requests_began(started):
    runner, proposer = started
    for name in "abc":
        runner.add(name, [5, 6])
    runner.step(proposer, {"a": [1], "b": [2], "c": [3]})
    for name in "cab":
        runner.end(name)
    runner.step(proposer, {})
    expected = History(outputs_per_prompt=4, max_tokens=8)
    for token in (1, 2, 3):
        tokens = np.array([token], np.int32)
        key = int(prefix_keys(np.array([5, 6], np.int32))[-1])
        expected.add(key, Output(token_ids=tokens, weight_version=0))
    assert proposer.state() == expected.state()


def test_tokens_end_with_the_first_end():
    assert up_to_end([1, 9, 2, 9], {9}) == [1, 9]
    assert up_to_end([1, 2], {9}) == [1, 2]
    assert up_to_end([], {9}) == []
