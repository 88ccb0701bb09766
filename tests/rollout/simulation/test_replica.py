import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.simulation.replica import Replica, Sampled, affine, measured

lengths = st.lists(st.integers(1, 30), min_size=1, max_size=12)


def run(replica, tokens, prefill_tokens=0):
    """Submits a sequence for each length at 0 s; returns {index: when it ended}."""
    for index, num_tokens in enumerate(tokens):
        sequence = Sampled(owner=index, num_tokens=num_tokens, prefill_tokens=prefill_tokens)
        replica.submit(sequence)
    replica.start_queued(0.0)
    ends = {}
    while (end := replica.next_end()) is not None:
        ends |= {ended.owner: end for ended in replica.pop_ended(end)}
        replica.start_queued(end)
    return ends


def token_by_token(tokens, max_running, cost):
    """The slow reference: one decode step after the other, the queue looked at in between."""
    queue, running, now, ends = list(enumerate(tokens)), {}, 0.0, {}
    while queue or running:
        while queue and len(running) < max_running:
            index, num_tokens = queue.pop(0)
            running[index] = num_tokens
        now += cost(len(running))
        running = {index: left - 1 for index, left in running.items()}
        ends |= {index: now for index, left in running.items() if left == 0}
        running = {index: left for index, left in running.items() if left > 0}
    return ends


def test_costs_of_a_decode_step():
    assert affine(0.01, 0.001)(10) == pytest.approx(0.02)
    table = measured({8: 0.02, 1: 0.01, 16: 0.06})
    assert [table(b) for b in (0, 1, 8, 12, 16, 99)] == pytest.approx(
        [0.01, 0.01, 0.02, 0.04, 0.06, 0.06]
    )


def test_sequences_that_run_together_slow_each_other_down():
    """Two run for 10 steps of 3 s, the longer one 5 more of 2 s: 30 s and 40 s."""
    assert run(Replica(affine(1.0, 1.0), 0.0, 8), [10, 15]) == {0: 30.0, 1: 40.0}


def test_a_queued_sequence_takes_the_slot_that_comes_free():
    """Steps of 1 s, two slots: the third starts at 3 s."""
    assert run(Replica(affine(1.0, 0.0), 0.0, 2), [3, 9, 4]) == {0: 3.0, 2: 7.0, 1: 9.0}


@given(lengths)
def test_makespan_without_a_queue_is_its_closed_form(tokens):
    """T = a + b B gives a max(n) + b sum(n): each step costs a, each token b."""
    ends = run(Replica(affine(0.5, 0.25), 0.0, len(tokens)), tokens)
    assert max(ends.values()) == pytest.approx(0.5 * max(tokens) + 0.25 * sum(tokens))


@given(lengths, st.integers(1, 5))
def test_ends_are_those_of_a_run_token_by_token(tokens, max_running):
    cost = measured({1: 1.0, 2: 1.5, 5: 4.0})
    assert run(Replica(cost, 0.0, max_running), tokens) == pytest.approx(
        token_by_token(tokens, max_running, cost)
    )


def test_a_prefill_holds_everybody_up():
    """Two prompts of 10 tokens at 0.1 s, then 5 steps of 1 s; a third's second after that."""
    ends = run(Replica(affine(1.0, 0.0), 0.1, 2), [5, 6, 1], prefill_tokens=10)
    assert ends == pytest.approx({0: 7.0, 1: 9.0, 2: 9.0})


def test_a_publication_pauses_and_later_tokens_are_of_its_version():
    """4 tokens in 4 s, a pause of 3 s, 6 more tokens."""
    replica = Replica(affine(1.0, 0.0), 0.0, 2)
    replica.submit(Sampled(owner="a", num_tokens=10, prefill_tokens=0))
    replica.start_queued(0.0)
    replica.publish(4.0, version=1, seconds=3.0)
    assert replica.next_end() == 13.0 and replica.weight_version == 1
    (ended,) = replica.pop_ended(13.0)
    assert ended.by_version == {0: 4.0, 1: 6.0}
    assert replica.busy_seconds == replica.sequence_seconds == 10.0


def test_weights_that_sampled_nothing_are_left_out():
    replica = Replica(affine(1.0, 0.0), 0.0, 2)
    replica.publish(0.0, version=1, seconds=1.0)
    replica.publish(1.0, version=2, seconds=1.0)
    replica.submit(Sampled(owner="a", num_tokens=2, prefill_tokens=0))
    replica.start_queued(2.0)
    (ended,) = replica.pop_ended(4.0)
    assert ended.by_version == {2: 2.0} and ended.start == 2.0


def test_an_idle_replica_is_not_busy():
    replica = Replica(affine(1.0, 0.0), 0.0, 2)
    replica.advance(50.0)
    run_at = replica.busy_seconds, replica.next_end()
    assert run_at == (0.0, None)
