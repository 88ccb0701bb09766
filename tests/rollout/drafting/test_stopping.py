import numpy as np

from rollout.drafting.stopping import specdec_length, svip_length, trimmed


def test_svip_stops_after_the_first_entropy_above_0_6_nats():
    # sqrt(0.15 * 0.6) = 0.3
    assert svip_length(np.array([0.1, 0.59, 0.61, 0.1])) == 3
    assert svip_length(np.array([0.61])) == 1
    assert svip_length(np.array([0.1, 0.59])) == 2
    assert svip_length(np.array([])) == 0


def test_specdec_stops_after_the_first_likely_rejection():
    # 1 - 0.9 * 0.6 = 0.46, 1 - 0.9 * 0.6 * 0.5 = 0.73
    acceptance = np.array([0.9, 0.6, 0.5, 1.0])
    assert specdec_length(acceptance) == 3
    assert specdec_length(acceptance, threshold=0.4) == 2
    assert specdec_length(acceptance, threshold=0.74) == 4
    assert specdec_length(np.array([])) == 0


def test_ragged_drafts_are_cut_row_by_row():
    drafts = [[7, 8, 9], [], [5, 6]]
    assert trimmed(drafts, np.array([2, 0, 5])) == [[7, 8], [], [5, 6]]
