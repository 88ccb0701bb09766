from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from rl.offline.pair_files import read_pairs, write_pairs
from rl.offline.pairs import Pair
from tests.rl.offline.answers import judged

PAIR = Pair(chosen=judged("ab", 2, True), rejected=judged("abc", 4, False), level="group")


def test_a_file_of_pairs_holds_texts_and_the_tokens_that_were_sampled(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    write_pairs(path, [PAIR], lambda prompt: f"<user>{prompt.id}")
    assert read_pairs(path).to_pylist() == [
        {
            "prompt": "<user>p", "chosen": "text of ab", "rejected": "text of abc",
            "prompt_ids": [1, 2], "chosen_ids": [97, 98], "rejected_ids": [97, 98, 99, 46],
            "prompt_id": "p", "level": "group",
            "chosen_id": "ab", "chosen_tokens": 2, "chosen_correct": True,
            "chosen_finish": "stop",
            "rejected_id": "abc", "rejected_tokens": 4, "rejected_correct": False,
            "rejected_finish": "stop",
        }
    ]  # fmt: skip


def test_datasets_reads_trls_columns(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    write_pairs(path, [PAIR], lambda prompt: prompt.id)
    [row] = load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path))
    assert [row[name] for name in ("prompt", "chosen", "rejected")] == [
        "p", "text of ab", "text of abc",
    ]  # fmt: skip


def test_what_is_no_file_of_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no.parquet cannot be read .* `laconic pairs`"):
        read_pairs(tmp_path / "no.parquet")
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"torn.parquet cannot be read"):
        read_pairs(torn)
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]}), other)
    with pytest.raises(ValueError, match="lacks prompt_ids, chosen_ids, rejected_ids"):
        read_pairs(other)
    empty = tmp_path / "empty.parquet"
    write_pairs(empty, [], lambda prompt: prompt.id)
    with pytest.raises(ValueError, match=r"holds no pairs; pairs.json beside it says why"):
        read_pairs(empty)
