import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.simulation.fit import Ran, admitted, fitted_decode
from rollout.simulation.replica import Replica, Sampled, affine


def test_two_requests_by_hand():
    """T(B) = 1 + 0.5 B: 10 steps of 2 s with both, then 20 steps of 1.5 s alone."""
    ran = [
        Ran(start=0.0, end=20.0, num_tokens=10),
        Ran(start=0.0, end=50.0, num_tokens=30),
    ]
    assert fitted_decode(ran) == pytest.approx((1.0, 0.5))


def test_a_request_that_was_seen_in_part_runs_beside_the_others():
    """T(2) = 2 s beside it, T(1) = 1.5 s without it."""
    ran = [
        Ran(start=0.0, end=20.0, num_tokens=10),
        Ran(start=0.0, end=20.0, num_tokens=0),
        Ran(start=20.0, end=35.0, num_tokens=10),
    ]
    assert fitted_decode(ran) == pytest.approx((1.0, 0.5))


def test_a_step_that_does_not_grow_has_no_slope():
    ran = [Ran(start=0.0, end=10.0, num_tokens=10), Ran(start=0.0, end=30.0, num_tokens=20)]
    assert fitted_decode(ran) == pytest.approx((70 / 50, 0.0))  # least squares of 10 and 20 a


def test_nothing_known_is_refused():
    with pytest.raises(ValueError, match="nothing to fit"):
        fitted_decode([Ran(start=0.0, end=1.0, num_tokens=0)])


def test_who_waits_begins_when_a_place_is_free():
    ran = [Ran(start=0.0, end=float(end), num_tokens=end) for end in (3, 5, 8)]
    late = Ran(start=9.0, end=10.0, num_tokens=1)
    assert [each.start for each in admitted([*ran, late], 2)] == [0.0, 0.0, 3.0, 9.0]
    assert admitted(ran, 3) == ran


@settings(max_examples=25, deadline=None)
@given(
    base=st.floats(0.001, 0.1),
    slope=st.floats(0.0001, 0.01),
    max_running=st.integers(2, 8),
    lengths=st.lists(st.integers(5, 300), min_size=12, max_size=40, unique=True),
)
def test_the_cost_of_a_simulated_engine_is_found_again(base, slope, max_running, lengths):
    """From when its requests were asked for and ended, those that had to wait included.

    The longest runs alone in the end: were B never to change, only a + b B could be known.
    """
    lengths = [*lengths, sum(lengths)]
    replica = Replica(affine(base, slope), 0.0, max_running)
    for num_tokens in lengths:
        replica.submit(Sampled(owner=num_tokens, num_tokens=num_tokens, prefill_tokens=0))
    replica.start_queued(0.0)
    ran = []
    while (now := replica.next_end()) is not None:
        ran += [Ran(start=0.0, end=now, num_tokens=e.owner) for e in replica.pop_ended(now)]
        replica.start_queued(now)
    in_order = sorted(ran, key=lambda each: lengths.index(each.num_tokens))
    assert fitted_decode(admitted(in_order, max_running)) == pytest.approx((base, slope), rel=1e-2)
