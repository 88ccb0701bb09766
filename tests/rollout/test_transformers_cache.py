import torch

from rollout.transformers_cache import TableCache, causal_mask, relocated


def test_relocated_columns_lie_where_asked_and_the_rest_is_zero():
    table = torch.arange(1.0, 9.0).reshape(2, 4)
    moved = relocated(table, 1, 1, slice(1, 3), 2, 6)
    assert moved.tolist() == [[0, 0, 2, 3, 0, 0], [0] * 6]


def test_token_sees_itself_and_what_stands_left_of_it_but_no_padding():
    mask = causal_mask(torch.tensor([0, 2]), 3, torch.float32)[:, 0] == 0
    assert mask[0].tolist() == [[True, False, False], [True, True, False], [True] * 3]
    assert mask[1].tolist() == [[False] * 3, [False] * 3, [False, False, True]]


def test_step_writes_one_column_and_reads_the_window():
    cache = TableCache(num_slots=3)
    cache.relocate(rows=0, first=0, column=0, start=0, columns=8)

    class Layer:
        keys = values = torch.ones(1, 1, 2, 4)

    class Prompts:
        layers = (Layer(),)

    cache.fill(Prompts(), sources=[0, 0], slots=[0, 1], end=5)
    key = torch.full((2, 1, 1, 4), 7.0)
    keys, values = cache.at(rows=2, first=3, column=5).update(key, 2 * key, layer_idx=0)
    assert keys[:, 0, :, 0].tolist() == [[1, 1, 7]] * 2
    assert values[:, 0, :, 0].tolist() == [[1, 1, 14]] * 2
    cache.move(sources=[1], slots=[2], first=3, column=6)
    keys, _ = cache.at(rows=3, first=3, column=6).update(torch.zeros(3, 1, 1, 4), key[:1], 0)
    assert keys[:, 0, :, 0].tolist() == [[1, 1, 7, 0]] * 3
