import numpy as np

from rollout.drafting.history import History, Output, prefix_keys


def output(*tokens, version=0):
    return Output(token_ids=np.array(tokens, np.int32), weight_version=version)


def tokens(history, key):
    return [each.token_ids.tolist() for each in history.outputs(key)]


def test_outputs_come_oldest_first():
    history = History(outputs_per_prompt=4, max_tokens=100)
    history.add(7, output(1, 2))
    history.add(7, output(3))
    assert tokens(history, 7) == [[1, 2], [3]]
    assert tokens(history, 8) == []
    assert 7 in history and 8 not in history


def test_oldest_output_of_a_full_prompt_goes():
    history = History(outputs_per_prompt=2, max_tokens=100)
    for token in range(3):
        history.add(7, output(token, token))
    assert tokens(history, 7) == [[1, 1], [2, 2]]
    assert history.num_tokens == 4


def test_prompt_answered_longest_ago_goes_whole():
    history = History(outputs_per_prompt=4, max_tokens=5)
    history.add(7, output(1, 1))
    history.add(8, output(2, 2))
    history.add(7, output(3))
    history.add(9, output(4))
    assert [key in history for key in (7, 8, 9)] == [True, False, True]
    assert history.num_tokens == 4


def test_last_prompt_stays_however_long():
    history = History(outputs_per_prompt=4, max_tokens=1)
    history.add(7, output(1))
    history.add(8, output(1, 2, 3))
    assert tokens(history, 8) == [[1, 2, 3]] and 7 not in history


def test_key_of_a_prefix_is_that_of_the_prefix_alone():
    token_ids = np.array([5, 0, 5, 0], np.int32)
    keys = prefix_keys(token_ids)
    assert len(set(keys.tolist())) == 4
    assert [prefix_keys(token_ids[:n])[-1] for n in (1, 2, 3, 4)] == keys.tolist()
