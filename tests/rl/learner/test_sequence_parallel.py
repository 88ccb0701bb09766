"""Sequences that several ranks cut: the slices by hand, the gradients against whole sequences."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

from rl.learner.batch import dummy_row
from rl.learner.policy import Policy, pad_rows
from rl.learner.process_group import Ranks
from rl.learner.sequence_parallel import (
    SlicedPolicy,
    check_heads,
    open_sequence_group,
    slice_of,
)
from tests.rl.learner.launch import launch
from tests.rl.learner.sequence_driver import rows_of
from tests.rl.learner.test_policy import ROWS

CPU = torch.device("cpu")
BATCH = pad_rows(ROWS, CPU)
"""Three rows padded to 8 tokens; the 6 predicting positions are 1, 2, 3 | 0 | 5, 6."""


def test_a_slice_predicts_the_tokens_after_its_own_positions() -> None:
    first, last = (slice_of(BATCH, rank, 2) for rank in range(2))
    assert last.token_ids.tolist() == [[9, 0, 0, 0], [0, 0, 0, 0], [7, 8, 9, 10]]
    assert last.position_ids.tolist() == [[4, 5, 6, 7]] * 3
    assert (first.indices.tolist(), last.indices.tolist()) == ([0, 1, 2, 3], [4, 5])
    assert (last.rows.tolist(), last.places.tolist()) == ([2, 2], [1, 2])
    # The token after the end of a slice is its own to predict, though it does not hold it.
    assert first.targets.tolist() == [7, 8, 9, 2]
    assert last.targets.tolist() == [9, 10]


def test_a_length_that_does_not_divide_is_padded() -> None:
    slices = [slice_of(BATCH, rank, 3) for rank in range(3)]
    assert [part.token_ids.shape[1] for part in slices] == [3, 3, 3]
    assert slices[2].token_ids.tolist() == [[0, 0, 0], [0, 0, 0], [9, 10, 0]]
    assert [part.indices.tolist() for part in slices] == [[0, 1, 3], [2, 4], [5]]


def test_a_rank_without_a_token_to_predict_has_a_slice_all_the_same() -> None:
    part = slice_of(pad_rows([dummy_row()], CPU), 3, 4)
    assert part.token_ids.tolist() == [[0]]
    assert part.indices.tolist() == []


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4),
    st.integers(1, 5),
)
def test_every_token_is_predicted_by_one_slice_from_where_it_was(
    lengths: list[tuple[int, int]], size: int
) -> None:
    batch = pad_rows(rows_of([list(pair) for pair in lengths]), CPU)
    slices = [slice_of(batch, rank, size) for rank in range(size)]
    indices = torch.cat([part.indices for part in slices])
    assert sorted(indices.tolist()) == list(range(len(batch.targets)))
    for part in slices:
        positions = (batch.places % batch.token_ids.shape[1])[part.indices]
        assert part.position_ids[part.rows, part.places].equal(positions)
        held = batch.token_ids.flatten()[batch.places][part.indices]
        assert part.token_ids[part.rows, part.places].equal(held)


def test_a_group_of_one_is_the_policy_itself(tiny_model: Path, ranks: Ranks) -> None:
    whole = Policy(AutoModelForCausalLM.from_pretrained(tiny_model), 0.7, 1.0, 4)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    sliced = SlicedPolicy(model, 0.7, 1.0, 4, open_sequence_group(ranks.world_size))
    with torch.no_grad():
        ours, theirs = sliced(BATCH), whole(BATCH)
    torch.testing.assert_close(ours.logprobs, theirs.logprobs, rtol=0, atol=1e-6)
    torch.testing.assert_close(ours.entropies, theirs.entropies, rtol=0, atol=1e-6)


def model_of(**settings: Any) -> Qwen2ForCausalLM:
    config = Qwen2Config(
        vocab_size=8, hidden_size=24, intermediate_size=8, num_hidden_layers=2, **settings
    )
    config.name_or_path = "mine"
    with torch.device("meta"):
        return Qwen2ForCausalLM(config)


@pytest.mark.parametrize("size", [2, 4, 8])
def test_heads_of_keys_are_dealt_out_or_repeated(size: int) -> None:
    check_heads(model_of(num_attention_heads=8, num_key_value_heads=4), size)


@pytest.mark.parametrize(
    ("settings", "size", "reason"),
    [
        ({"num_attention_heads": 6, "num_key_value_heads": 6}, 4, "its 6 heads, with 6 of keys "),
        ({"num_attention_heads": 12, "num_key_value_heads": 4}, 6, "its 12 heads, with 4 of keys "),
        (
            {
                "num_attention_heads": 4,
                "num_key_value_heads": 4,
                "use_sliding_window": True,
                "sliding_window": 4,
                "max_window_layers": 1,
            },
            2,
            r"it does not attend to all that came before \(sliding_attention\)",
        ),
    ],
)
def test_a_model_that_cannot_be_cut_is_refused(
    settings: dict[str, Any], size: int, reason: str
) -> None:
    with pytest.raises(ValueError, match=f"^model.path=mine: {reason}.*sequence_parallel=1$"):
        check_heads(model_of(**settings), size)


CASES = {
    "odd lengths": {"lengths": [[2, 5], [1, 1], [4, 9]], "method": "grpo"},
    "all in the first slice": {"lengths": [[1, 1]], "method": "grpo"},
    "all in the last slice": {"lengths": [[13, 3], [14, 2]], "method": "grpo"},
    "ratios of whole answers": {"lengths": [[2, 15], [6, 11], [3, 4]], "method": "gspo"},
}


@pytest.mark.engine
@pytest.mark.parametrize("num_ranks", [2, pytest.param(4, marks=pytest.mark.long)])
def test_gradients_of_slices_add_up_to_that_of_whole_sequences(
    num_ranks: int, tiny_model: Path, tmp_path: Path
) -> None:
    """Four ranks repeat the model's two heads of keys and values, and recompute their layers."""
    cases = {name: case | {"checkpointed": num_ranks == 4} for name, case in CASES.items()}
    done = launch("sequence_driver.py", num_ranks, tiny_model, tmp_path / "out.json", cases)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "out.json").read_text())
    for name, outcome in found.items():
        assert outcome["cut"] == pytest.approx(outcome["whole"], abs=1e-6), name
        assert outcome["distance"] < 1e-5, name
