import numpy as np

from rollout.simulation.lengths import lognormal, recorded, replayed


def test_lognormal_lengths_have_their_median_and_their_limit():
    drawn = lognormal(1000, 0.5, 0.5, 4000)(np.random.default_rng(0), 4000, 4)
    assert drawn.tokens.shape == (4000, 4) and drawn.predicted.shape == (4000,)
    assert drawn.tokens.min() >= 1 and drawn.tokens.max() == 4000
    assert abs(np.median(drawn.tokens) - 1000) < 30
    # Both parts have a standard deviation of 0.5; the cut at 4 times the median takes a little.
    assert abs(np.log(drawn.tokens).std() - np.hypot(0.5, 0.5)) < 0.03


def test_a_predicted_length_is_the_prompts_own():
    drawn = lognormal(1000, 0.0, 0.5, 4000)(np.random.default_rng(0), 50, 3)
    assert (abs(drawn.tokens - drawn.predicted[:, None]) <= 0.5).all()


def test_recorded_lengths_stay_with_their_prompt():
    sample = np.array([[10, 20], [300, 500]])
    drawn = recorded(sample)(np.random.default_rng(0), 100, 8)
    short = drawn.predicted == 15
    assert set(drawn.tokens[short].ravel()) == {10, 20}
    assert set(drawn.tokens[~short].ravel()) == {300, 500}
    assert set(drawn.predicted[~short]) == {400.0} and 20 < short.sum() < 80


def test_replayed_lengths_come_in_their_order_and_around_again():
    draw = replayed(np.array([[10, 20], [30, 50], [70, 70]]))
    rng = np.random.default_rng(0)
    assert draw(rng, 2, 2).tokens.tolist() == [[10, 20], [30, 50]]
    again = draw(rng, 2, 2)
    assert again.tokens.tolist() == [[70, 70], [10, 20]]
    assert again.predicted.tolist() == [70.0, 15.0]
