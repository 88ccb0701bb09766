import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.types import Completion, Finish, Prompt, Span
from rollout.engine import Sampling
from rollout.scheduling.priorities import CONTINUED_BAND
from rollout.windows.pool import WindowPool, window_seed

PROMPT = Prompt(id="p", messages=(), token_ids=np.array([7, 8], np.int32), answer="3")


def text_of(token_ids):
    return " ".join(str(token) for token in token_ids)


def pool_of(*limits, window=4):
    """A pool in which completions c0, c1, ... of those limits run."""
    pool = WindowPool(window, text_of)
    for index, limit in enumerate(limits):
        pool.open(PROMPT, Sampling(id=f"c{index}", limit=limit, seed=index, priority=5))
    return pool


def answer(pool, name, finish, count, version=0):
    """The engine's answer to a completion's request: `count` tokens that say where they stand."""
    prompt, sampling = pool.request(name)
    first = len(prompt.token_ids) - len(PROMPT.token_ids)
    tokens = np.arange(first, first + count, dtype=np.int32)
    piece = Completion(
        id=sampling.id,
        text=text_of(tokens),
        token_ids=tokens,
        logprobs=-tokens.astype(np.float32) / 3,
        limit=sampling.limit,
        finish=finish,
        spans=(Span(start=0, stop=count, weight_version=version),),
    )
    return pool.ended(name, piece)


def test_a_response_longer_than_a_window_is_parked_and_goes_on_behind_its_tokens():
    pool = pool_of(10)
    assert pool.request("c0")[1] == Sampling(id="c0/w0", limit=4, seed=0, priority=5)
    assert answer(pool, "c0", Finish.LIMIT, 4) is None and pool.settled
    assert pool.release() == ["c0"] and not pool.settled
    prompt, sampling = pool.request("c0")
    assert prompt.token_ids.tolist() == [7, 8, 0, 1, 2, 3]
    assert (sampling.id, sampling.limit) == ("c0/w1", 4)


def test_the_last_window_is_capped_by_the_budget_that_is_left():
    pool = pool_of(10)
    limits = []
    for _ in range(2):
        limits.append(pool.request("c0")[1].limit)
        assert answer(pool, "c0", Finish.LIMIT, 4) is None
        pool.release()
    limits.append(pool.request("c0")[1].limit)
    whole = answer(pool, "c0", Finish.LIMIT, 2)
    assert limits == [4, 4, 2]
    assert whole.finish is Finish.LIMIT and whole.limit == 10 and whole.num_tokens == 10


def test_a_whole_completion_keeps_each_windows_weights_and_log_probs():
    pool = pool_of(10)
    answer(pool, "c0", Finish.LIMIT, 4, version=3)
    pool.release()
    whole = answer(pool, "c0", Finish.STOP, 3, version=5)
    assert whole.id == "c0" and whole.finish is Finish.STOP
    assert whole.text == "0 1 2 3 4 5 6"
    np.testing.assert_allclose(whole.logprobs, -np.arange(7) / 3, rtol=1e-6)
    spans = [(span.start, span.stop, span.weight_version) for span in whole.spans]
    assert spans == [(0, 4, 3), (4, 7, 5)]


def test_end_of_sequence_at_the_windows_edge_is_an_end():
    assert answer(pool_of(10), "c0", Finish.STOP, 4).finish is Finish.STOP


def test_a_limit_within_one_window_is_the_completions_own():
    assert answer(pool_of(4), "c0", Finish.LIMIT, 4).finish is Finish.LIMIT


def test_a_repetition_is_an_end():
    assert answer(pool_of(10), "c0", Finish.REPETITION, 4).finish is Finish.REPETITION


def test_end_of_sequence_as_the_first_token_of_a_window_is_an_end():
    pool = pool_of(10)
    answer(pool, "c0", Finish.LIMIT, 4)
    pool.release()
    assert answer(pool, "c0", Finish.STOP, 1).num_tokens == 5


def test_a_cut_parks_what_runs_with_the_tokens_so_far():
    pool = pool_of(10, 10)
    assert pool.cut() == ["c0/w0", "c1/w0"]
    assert answer(pool, "c0", Finish.ABORTED, 3) is None
    assert answer(pool, "c1", Finish.STOP, 2).finish is Finish.STOP
    assert [partial.num_tokens for partial in pool.parked] == [3]
    pool.release()
    assert pool.request("c0")[1].limit == 4


def test_an_abort_without_a_cut_is_an_end():
    assert answer(pool_of(10), "c0", Finish.ABORTED, 3).finish is Finish.ABORTED


def test_a_window_that_was_cut_before_its_first_token_leaves_no_trace():
    pool = pool_of(10)
    pool.cut()
    answer(pool, "c0", Finish.ABORTED, 0, version=1)
    pool.release()
    whole = answer(pool, "c0", Finish.STOP, 3, version=2)
    assert whole.weight_versions == (2, 2) and len(whole.spans) == 1


def test_a_completion_that_is_cut_between_two_tokens_keeps_its_earlier_window():
    pool = pool_of(10)
    answer(pool, "c0", Finish.LIMIT, 4, version=1)
    pool.release()
    pool.cut()
    answer(pool, "c0", Finish.ABORTED, 0, version=2)
    assert pool.give_up("c0").weight_versions == (1, 1)


def test_continuations_go_before_all_fresh_requests_in_their_order():
    pool = pool_of(10, 10)
    for name in ("c1", "c0"):
        answer(pool, name, Finish.LIMIT, 4)
    assert pool.release() == ["c1", "c0"]
    assert pool.request("c0")[1].priority == 5 - CONTINUED_BAND


def test_only_as_many_fresh_completions_as_have_ended():
    pool = pool_of(10, 10, 10)
    assert pool.free_slots(4) == 1
    answer(pool, "c0", Finish.LIMIT, 4)
    assert pool.free_slots(4) == 1
    answer(pool, "c1", Finish.STOP, 2)
    assert pool.free_slots(4) == 2
    assert pool.free_slots(1) == 0


def test_every_window_draws_anew_and_the_first_as_the_request_says():
    seeds = [window_seed(3, number) for number in range(5)]
    assert seeds[0] == 3 and len(set(seeds)) == 5
    assert window_seed(None, 2) is None


def test_an_id_is_used_once():
    with pytest.raises(ValueError, match="c0 is in use"):
        pool_of(10).open(PROMPT, Sampling(id="c0", limit=10))


def test_a_window_without_tokens_is_refused():
    with pytest.raises(ValueError, match="window=0"):
        WindowPool(0, text_of)


def saved_pool(*limits):
    """A pool whose completions have all had one window."""
    pool = pool_of(*limits)
    for index in range(len(limits)):
        answer(pool, f"c{index}", Finish.LIMIT, 4, version=1)
    return pool


def test_a_restored_completion_is_parked_where_it_stood_and_goes_on_alike():
    saved, restored = saved_pool(10, 10), WindowPool(4, text_of)
    restored.load(json.loads(json.dumps(saved.state())))
    assert restored.free_slots(4) == 2 and restored.settled
    for index in (1, 0):
        sampling = Sampling(id=f"c{index}", limit=10, seed=index, priority=5)
        assert not restored.open(PROMPT, sampling)
    assert restored.release() == saved.release() == ["c0", "c1"]
    assert restored.request("c0")[1] == saved.request("c0")[1]
    whole, again = (answer(pool, "c0", Finish.STOP, 2, version=2) for pool in (saved, restored))
    assert again.spans == whole.spans and again.text == whole.text
    np.testing.assert_array_equal(again.logprobs, whole.logprobs)


def test_a_running_window_is_saved_as_of_its_beginning():
    saved, restored = saved_pool(10), WindowPool(4, text_of)
    saved.release()
    restored.load(saved.state())
    sampling = Sampling(id="c0", limit=10, seed=0, priority=5)
    assert not restored.open(PROMPT, sampling) and restored.release() == ["c0"]
    assert restored.request("c0")[1] == saved.request("c0")[1]


def test_a_completion_that_had_not_begun_is_fresh_when_it_is_asked_for_again():
    restored = WindowPool(4, text_of)
    restored.load(pool_of(10).state())
    assert restored.open(PROMPT, Sampling(id="c0", limit=10))


def test_a_restored_completion_is_refused_to_another_request():
    restored = WindowPool(4, text_of)
    restored.load(saved_pool(10).state())
    with pytest.raises(ValueError, match="resume with the settings of the run"):
        restored.open(PROMPT, Sampling(id="c0", limit=9))


def test_what_was_not_asked_for_again_is_saved_again():
    first, second = WindowPool(4, text_of), WindowPool(4, text_of)
    first.load(saved_pool(10, 10).state())
    second.load(first.state())
    assert second.free_slots(2) == 0


@settings(max_examples=60, deadline=None)
@given(
    window=st.integers(1, 6),
    lengths=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=6),
    data=st.data(),
)
def test_any_schedule_of_windows_and_cuts_gives_the_uncut_completions(window, lengths, data):
    """A policy that would stop after `wanted` tokens is stopped there, or at its limit."""
    pool = pool_of(*(limit for _, limit in lengths), window=window)
    running, whole = {f"c{index}" for index in range(len(lengths))}, {}
    while len(whole) < len(lengths):
        if not running:
            running = set(pool.release())
        name = data.draw(st.sampled_from(sorted(running)))
        running.discard(name)
        before = len(pool.request(name)[0].token_ids) - 2
        left = lengths[int(name[1:])][0] - before
        limit = pool.request(name)[1].limit
        finish, count = (Finish.STOP, left) if left <= limit else (Finish.LIMIT, limit)
        if count > 1 and data.draw(st.booleans()):
            pool.cut()
            finish, count = Finish.ABORTED, data.draw(st.integers(1, count - 1))
        if (completion := answer(pool, name, finish, count)) is not None:
            whole[name] = completion
    assert pool.settled and not pool.parked and pool.free_slots(9) == 9
    for index, (wanted, limit) in enumerate(lengths):
        completion = whole[f"c{index}"]
        assert completion.token_ids.tolist() == list(range(min(wanted, limit)))
        assert completion.finish is (Finish.STOP if wanted <= limit else Finish.LIMIT)
