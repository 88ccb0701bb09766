import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.drafting.config import HistoryConfig
from rollout.drafting.drafter import HistoryDrafter
from rollout.drafting.history import prefix_keys

PROMPT = np.array([50, 51, 52], np.int32)
OTHER = np.array([60, 61], np.int32)
ANSWER = [1, 2, 3, 4, 5, 6]


def make(*, ways=4, prompts=2, **options):
    config = HistoryConfig(outputs_per_prompt=ways, **options)
    return HistoryDrafter(config, max_prompts=prompts, max_tokens=64, max_drafts=4)


def run(drafter, name, tokens, prompt=PROMPT):
    """One request that samples `tokens` and ends."""
    drafter.open(name, prompt)
    drafter.propose([name], [tokens])
    drafter.close(name)


def draft(drafter, name, tokens):
    (found,) = drafter.propose([name], [tokens])
    return found


def kept(drafter, prompt):
    """The outputs that the history holds of a prompt."""
    outputs = drafter.history.outputs(int(prefix_keys(prompt)[-1]))
    return [output.token_ids.tolist() for output in outputs]


def test_running_sibling_is_followed():
    drafter = make()
    drafter.open("a", PROMPT)
    drafter.open("b", PROMPT)
    both = drafter.propose(["a", "b"], [ANSWER, [1]])
    assert both == [[], [2, 3, 4, 5]]


def test_earlier_epoch_is_followed_from_its_first_token():
    drafter = make()
    run(drafter, "a", ANSWER)
    drafter.open("b", PROMPT)
    assert draft(drafter, "b", [1]) == [2, 3, 4, 5]
    assert draft(drafter, "b", [2, 3, 4, 5, 6]) == []


def test_short_match_drafts_twice_its_length():
    drafter = make()
    run(drafter, "a", ANSWER)
    drafter.open("b", PROMPT)
    assert draft(drafter, "b", [9, 3]) == [4, 5]


def test_own_repetition_and_the_prompt_are_drafted_from():
    drafter = make()
    drafter.open("a", PROMPT)
    assert draft(drafter, "a", [7, 8, 9, 7, 8]) == [9, 7, 8]
    assert draft(drafter, "a", [9, 50]) == [51, 52]


def test_other_prompts_are_not_followed():
    drafter = make()
    run(drafter, "a", ANSWER)
    drafter.open("b", OTHER)
    assert draft(drafter, "b", [1, 2, 3]) == []


def test_majority_is_followed_until_it_is_many_versions_old():
    drafter = make()
    for name, tokens in (("a", [1, 2, 3]), ("b", [1, 2, 3])):
        run(drafter, name, tokens)
    drafter.new_weights(3)
    run(drafter, "c", [1, 8, 9])
    drafter.open("d", PROMPT)
    assert draft(drafter, "d", [1]) == [8, 9]


def test_majority_of_one_version_is_followed():
    drafter = make()
    for name, tokens in (("a", [1, 2, 3]), ("b", [1, 2, 3]), ("c", [1, 8, 9])):
        run(drafter, name, tokens)
    drafter.open("d", PROMPT)
    assert draft(drafter, "d", [1]) == [2, 3]


def test_siblings_break_a_tie_differently():
    """Two outputs of one vote each: one sibling follows the first, the other the second."""
    drafter = make()
    run(drafter, "a", [1, 2, 3])
    run(drafter, "b", [1, 8, 9])
    drafter.open("c", PROMPT)
    drafter.open("d", PROMPT)
    assert drafter.propose(["c", "d"], [[1], [1]]) == [[2, 3], [8, 9]]


def test_cut_completion_that_goes_on_is_followed_as_its_prompts():
    drafter = make()
    run(drafter, "a", ANSWER)
    drafter.open("b", np.concatenate([PROMPT, np.array([1, 2], np.int32)]))
    assert draft(drafter, "b", [3]) == [4, 5, 6]
    drafter.close("b")
    assert kept(drafter, PROMPT) == [ANSWER, [1, 2, 3]]
    assert drafter.history.num_tokens == len(ANSWER) + 3


def test_request_without_a_free_lane_drafts_nothing():
    drafter = make(ways=1, prompts=1)
    drafter.open("a", PROMPT)
    drafter.open("b", PROMPT)
    drafter.open("c", OTHER)
    repeated = [1, 2, 3, 1, 2]
    assert drafter.propose(["a", "b", "c"], [repeated] * 3) == [[3, 1, 2], [], []]
    for name in "bca":
        drafter.close(name)
    drafter.open("d", OTHER)
    assert draft(drafter, "d", repeated) == [3, 1, 2]


def test_new_sibling_takes_the_lane_of_the_oldest_output():
    drafter = make(ways=2)
    run(drafter, "a", [1, 2, 3])
    run(drafter, "b", [4, 5, 6])
    drafter.open("c", PROMPT)
    assert draft(drafter, "c", [1]) == []
    assert draft(drafter, "c", [4]) == [5, 6]


def test_drafts_come_with_their_votes_their_match_and_the_age_of_their_newest_voter():
    """At ages 3 and 1 votes count 1/4 and 1/2. What agrees from the first token on matches at the
    full depth of the index, 16."""
    drafter = make()
    run(drafter, "a", [1, 2, 3])
    drafter.new_weights(2)
    run(drafter, "b", [1, 8])
    drafter.new_weights(3)
    drafter.open("c", PROMPT)
    drafter.open("d", OTHER)
    drafter.add(["c", "d"], [[1], [1]])
    found = drafter.draft(["d", "c"])
    assert found.tokens == [[], [8]]
    assert found.shares.tolist() == [pytest.approx(2 / 3)]
    assert found.match_lengths.tolist() == [0, 16] and found.ages.tolist() == [0, 1]
    drafter.add(["c"], [[2]])
    found = drafter.draft(["c"])
    assert (found.tokens, found.shares.tolist()) == ([[3]], [1.0])
    assert found.match_lengths.tolist() == [16] and found.ages.tolist() == [3]


def test_no_rows_are_no_drafts():
    assert make().propose([], []) == []


tokens = st.lists(st.integers(0, 3), min_size=1, max_size=6)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.lists(tokens, min_size=1, max_size=3)), max_size=8),
    st.integers(1, 3),
)
def test_any_history_drafts_the_same_again_and_only_what_was_stored(requests, num_running):
    prompts = [PROMPT, OTHER]
    one, other = make(ways=3), make(ways=3)
    stored = [set(prompt.tolist()) for prompt in prompts]
    for start in range(0, len(requests), num_running):
        wave = dict(enumerate(requests[start : start + num_running], start))
        for name, (prompt, _) in wave.items():
            one.open(str(name), prompts[prompt])
            other.open(str(name), prompts[prompt])
        for step in range(3):
            fresh = {n: steps[step] for n, (_, steps) in wave.items() if step < len(steps)}
            for name, sampled in fresh.items():
                stored[wave[name][0]].update(sampled)
            arguments = [str(name) for name in fresh], list(fresh.values())
            drafts = one.propose(*arguments)
            assert drafts == other.propose(*arguments)
            for name, drafted in zip(fresh, drafts, strict=True):
                assert len(drafted) <= 4
                assert set(drafted) <= stored[wave[name][0]]
        for name in wave:
            one.close(str(name))
            other.close(str(name))
    for prompt in prompts:
        assert kept(one, prompt) == kept(other, prompt)
