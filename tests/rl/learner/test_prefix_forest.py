"""The forest against hand-drawn trees, its rows, and slow references."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from data.types import TokenIds
from rl.learner.prefix_forest import (
    PrefixForest,
    block_mask,
    dense_mask,
    num_distinct,
    prefix_forest,
)

# 7 8 9
#   8 5 6
#   8 5      (a prefix of the row before)
# 1 2
ROWS = [[7, 8, 9], [1, 2], [7, 8, 5, 6], [7, 8, 5]]

rows_of_tokens = st.lists(
    st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=8
)


def forest_of(rows: list[list[int]]) -> PrefixForest:
    return prefix_forest([token_ids(row) for row in rows])


def token_ids(row: list[int]) -> TokenIds:
    return np.array(row, np.int32)


def allowed(forest: PrefixForest) -> list[list[bool]]:
    """Whether token i may attend to token j, by [i][j]."""
    return (dense_mask(torch.from_numpy(forest.last), torch.float32)[0, 0] == 0).tolist()


def test_each_distinct_prefix_stands_once_in_depth_first_order() -> None:
    forest = forest_of(ROWS)
    assert forest.token_ids.tolist() == [1, 2, 7, 8, 5, 6, 9]
    assert forest.depths.tolist() == [0, 1, 0, 1, 2, 3, 2]
    assert forest.last.tolist() == [1, 1, 6, 6, 5, 5, 6]
    assert [path.tolist() for path in forest.paths] == [[2, 3, 6], [0, 1], [2, 3, 4, 5], [2, 3, 4]]


def test_a_token_attends_to_itself_and_to_those_before_it_in_its_rows() -> None:
    seen = [[j for j, is_seen in enumerate(row) if is_seen] for row in allowed(forest_of(ROWS))]
    assert seen == [[0], [0, 1], [2], [2, 3], [2, 3, 4], [2, 3, 4, 5], [2, 3, 6]]


@given(rows_of_tokens)
def test_every_row_is_read_along_its_path(rows: list[list[int]]) -> None:
    forest = forest_of(rows)
    for row, path in zip(rows, forest.paths, strict=True):
        assert forest.token_ids[path].tolist() == row
        assert forest.depths[path].tolist() == list(range(len(row)))


@given(rows_of_tokens)
def test_there_are_as_many_tokens_as_distinct_prefixes(rows: list[list[int]]) -> None:
    prefixes = {tuple(row[: n + 1]) for row in rows for n in range(len(row))}
    assert len(forest_of(rows).token_ids) == len(prefixes)
    assert num_distinct([token_ids(row) for row in rows]) == len(prefixes)


@given(rows_of_tokens)
def test_a_token_attends_to_its_ancestors_alone(rows: list[list[int]]) -> None:
    forest = forest_of(rows)
    prefix_at = {}
    for row, path in zip(rows, forest.paths, strict=True):
        prefix_at |= {place: tuple(row[: n + 1]) for n, place in enumerate(path.tolist())}
    for i, seen in enumerate(allowed(forest)):
        ancestors = [prefix_at[j] == prefix_at[i][: len(prefix_at[j])] for j in range(len(seen))]
        assert seen == ancestors


@given(rows_of_tokens)
def test_the_order_of_the_rows_changes_their_paths_alone(rows: list[list[int]]) -> None:
    forest, turned = forest_of(rows), forest_of(rows[::-1])
    assert turned.token_ids.tolist() == forest.token_ids.tolist()
    assert turned.last.tolist() == forest.last.tolist()
    paths = [path.tolist() for path in turned.paths[::-1]]
    assert paths == [path.tolist() for path in forest.paths]


def branching_rows(lengths: list[int], seed: int) -> list[list[int]]:
    """Rows of these lengths that leave a common one in their second halves."""
    random = np.random.default_rng(seed)
    trunk = random.integers(0, 1000, max(lengths)).tolist()
    forks = [int(random.integers(length // 2, length)) for length in lengths]
    return [
        trunk[:fork] + random.integers(1000, 2000, length - fork).tolist()
        for fork, length in zip(forks, lengths, strict=True)
    ]


@pytest.mark.parametrize("lengths", [[1], [128], [300, 300], [500, 129, 200], [40] * 30])
@pytest.mark.parametrize("seed", [0, 1])
def test_tiles_are_those_that_torch_finds_token_by_token(lengths: list[int], seed: int) -> None:
    last = torch.from_numpy(forest_of(branching_rows(lengths, seed)).last)
    ours = block_mask(last)
    theirs = create_block_mask(
        lambda b, h, i, j: (j <= i) & (i <= last[j]), None, None, len(last), len(last), device="cpu"
    )
    assert ours.seq_lengths == theirs.seq_lengths
    for name in ("kv", "q", "full_kv", "full_q"):
        counts, columns = (getattr(theirs, f"{name}_{part}") for part in ("num_blocks", "indices"))
        torch.testing.assert_close(getattr(ours, f"{name}_num_blocks"), counts, rtol=0, atol=0)
        torch.testing.assert_close(getattr(ours, f"{name}_indices"), columns, rtol=0, atol=0)


def test_flex_attention_sees_what_dense_attention_sees() -> None:
    """Forward and not compiled: on the CPU FlexAttention has no backward pass."""
    last = torch.from_numpy(forest_of(branching_rows([600, 500, 400], 0)).last)
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, len(last), 16, generator=generator)
    mask, tiles = dense_mask(last, torch.float32), block_mask(last)
    assert tiles.full_kv_num_blocks is not None and tiles.full_kv_num_blocks.any()
    ours = flex_attention(query, key, value, block_mask=tiles)
    theirs = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
