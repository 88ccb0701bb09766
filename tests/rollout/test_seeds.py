from hypothesis import given
from hypothesis import strategies as st

from rollout.samplings import completion_seed
from rollout.seeds import derived_seed
from rollout.trees.sampler import segment_seed
from rollout.windows.pool import window_seed


def test_a_seed_is_the_one_that_earlier_runs_drew_with():
    assert completion_seed(1, "p", 2, 3) == derived_seed(1, "p", 2, 3) == 82228655


def test_completions_segments_and_windows_derive_theirs_alike():
    assert segment_seed(7, "a/s1") == derived_seed(7, "a/s1")
    assert window_seed(7, 2) == derived_seed(7, 2)
    assert segment_seed(None, "a/s1") is window_seed(None, 2) is None


@given(st.integers(0, 2**31 - 1), st.integers(0, 1000))
def test_neighbours_differ_and_stay_in_range(seed, index):
    one, next_one = derived_seed(seed, index), derived_seed(seed, index + 1)
    assert 0 <= one < 2**31 and one != next_one
