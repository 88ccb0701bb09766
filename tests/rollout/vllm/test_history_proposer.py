"""The proposer against a stand-in for vLLM's model runner: what it reads there, and when."""

from types import SimpleNamespace

import numpy as np
import pytest

from rollout.drafting.config import HistoryConfig
from rollout.drafting.history import prefix_keys
from rollout.vllm import history_proposer
from rollout.vllm.history_proposer import HistoryProposer, up_to_end

END = 9
TABLE = (np.zeros(0, np.int32), np.zeros((0, 0), np.int32))


class Runner:
    """vLLM's V1 model runner, as far as the proposer reads it."""

    def __init__(self):
        self.requests = {}
        self.input_batch = SimpleNamespace(req_ids=[])
        self.query_start_loc = SimpleNamespace(np=np.zeros(9, np.int32))
        self._drafts = {}

    def add(self, request, prompt):
        state = SimpleNamespace(prompt_token_ids=prompt, output_token_ids=[])
        self.requests[request] = state

    def end(self, request):
        del self.requests[request]

    def step(self, proposer, sampled, num_prompt_tokens=0):
        """A step in which the rows are the keys of `sampled`, in order."""
        self.input_batch.req_ids = list(sampled)
        num_decoded = [1 + len(self._drafts.get(request, ())) for request in sampled]
        self.query_start_loc.np[1 : 1 + len(sampled)] = np.cumsum(num_decoded)
        self.query_start_loc.np[len(sampled)] += num_prompt_tokens
        for request, tokens in sampled.items():
            self.requests[request].output_token_ids.extend(tokens)
        drafts = proposer.propose(list(sampled.values()), *TABLE, slot_mappings=None)
        self._drafts = dict(zip(sampled, drafts, strict=True))
        return self._drafts


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
    """Verifies all that is drafted."""
    runner, proposer = Runner(), proposer_of()
    proposer.start(runner, HistoryConfig(outputs_per_prompt=4, draft_length=4))
    return runner, proposer


def kept(proposer):
    """The outputs of the prompt 5, 6 that the history holds, with their versions."""
    outputs = proposer.drafter.history.outputs(int(prefix_keys(np.array([5, 6], np.int32))[-1]))
    return [(output.token_ids.tolist(), output.weight_version) for output in outputs]


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


def test_new_weights_reach_the_history(started):
    runner, proposer = started
    proposer.new_weights(3)
    runner.add("a", [5, 6])
    runner.step(proposer, {"a": [1]})
    runner.end("a")
    runner.step(proposer, {})
    assert kept(proposer) == [([1], 3)]


@pytest.mark.parametrize("ends", [[7, END], END])
def test_model_has_one_end_or_several(ends):
    runner, proposer = Runner(), proposer_of(ends)
    proposer.start(runner, HistoryConfig(draft_length=4))
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
    assert kept(proposer) == [([1], 0), ([2], 0), ([3], 0)]


class Scripted:
    """A rule of lengths that keeps `kept` of every draft and remembers what it was told."""

    def __init__(self, kept):
        self.kept, self.proposals, self.outcomes, self.updates = kept, [], [], 0

    def wants_drafts(self, rows):
        return self.kept is not None

    def decide(self, proposal):
        self.proposals.append(proposal)
        return np.minimum(proposal.lengths, self.kept or 0)

    def observe(self, outcome):
        self.outcomes.append(outcome)
        return 0.5

    def weights_changed(self):
        self.updates += 1


@pytest.fixture
def scripted(started, monkeypatch):
    """Every rule that the proposer starts is the returned one."""
    runner, proposer = started
    rule = Scripted(kept=1)
    monkeypatch.setattr(history_proposer, "Controller", lambda most: rule)
    proposer.start(runner, HistoryConfig(outputs_per_prompt=4))
    runner.add("old", [5, 6])
    runner.step(proposer, {"old": [1, 2, 3, 4, END]})
    runner.end("old")
    return runner, proposer, rule


def test_rule_cuts_the_drafts_and_hears_what_they_were_guessed_from(scripted):
    """The end and what it leaves of the batch are not proposed; matches from the start count 16."""
    runner, proposer, rule = scripted
    assert rule.proposals == []
    proposer.new_weights(2)
    for name in "ab":
        runner.add(name, [5, 6])
    assert runner.step(proposer, {"a": [1], "b": [7]}) == {"a": [2], "b": []}
    (proposal,) = rule.proposals
    assert proposal.lengths.tolist() == [4, 0]
    assert proposal.probabilities.tolist() == [1, 1, 1, 1]
    assert proposal.match_lengths.tolist() == [16, 0] and proposal.ages.tolist() == [2, 0]
    assert rule.updates == 1


def test_rule_hears_what_was_accepted_of_each_row_and_of_rows_that_are_gone(scripted):
    runner, proposer, rule = scripted
    for name in "abc":
        runner.add(name, [5, 6])
    runner.step(proposer, {"a": [1], "b": [1], "c": [1]})
    assert rule.outcomes == []
    runner.add("d", [5, 6])
    runner.step(proposer, {"c": [2, 3], "a": [8], "d": [1]}, num_prompt_tokens=5)
    (outcome,) = rule.outcomes
    assert outcome.accepted.tolist() == [0, -1, 1]
    # a and c decode and verify one token each; d is the rest of the ten tokens
    assert outcome.prompt_tokens == 6 and outcome.seconds > 0


def test_what_the_rule_expected_what_drafting_took_and_the_store_are_counted(scripted):
    """Two observed steps of an expected half token; the old answer is the store, of 5 tokens."""
    runner, proposer, _ = scripted
    runner.add("a", [5, 6])
    for token in (1, 2, 3):
        runner.step(proposer, {"a": [token]})
    taken = proposer.take_acceptance()
    assert (taken.expected, taken.stored_tokens) == (1.0, 5)
    assert taken.draft_seconds > 0
    assert proposer.take_acceptance().expected == 0.0


def test_rule_that_wants_no_drafts_is_told_of_none(scripted):
    runner, proposer, rule = scripted
    rule.kept = None
    runner.add("a", [5, 6])
    assert runner.step(proposer, {"a": [1]}) == {"a": []}
    assert rule.proposals[-1].lengths.tolist() == [0]
    taken = proposer.take_acceptance()
    assert runner.step(proposer, {"a": [2]}) == {"a": []}
    taken = proposer.take_acceptance()
    assert (taken.verifications, taken.drafted_at) == (1, [])


def test_nothing_is_learned_from_the_step_after_an_update(scripted):
    """Its time holds the pause."""
    runner, proposer, rule = scripted
    runner.add("a", [5, 6])
    runner.step(proposer, {"a": [1]})
    proposer.new_weights(1)
    runner.step(proposer, {"a": [2, 3]})
    assert rule.outcomes == [] and proposer.take_acceptance().verifications == 0
    runner.step(proposer, {"a": [4, END]})
    assert len(rule.outcomes) == 1


def test_tokens_end_with_the_first_end():
    assert up_to_end([1, 9, 2, 9], {9}) == [1, 9]
    assert up_to_end([1, 2], {9}) == [1, 2]
    assert up_to_end([], {9}) == []
