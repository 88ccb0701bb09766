"""Whatever a dataset's files hold: prompts that can travel, or one ValueError that says why not.

FUZZ_EXAMPLES=1000 looks longer.
"""

import json
import os
import tempfile
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.config import DataConfig, UnusableRows
from data.loading import load_prompts
from data.types import Prompt
from data.wire import decode, encode
from tests.data.tokenizers import word_tokenizer

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "25"))
TOKENIZER = word_tokenizer()
NAMES = ("prompt", "question", "input", "answer", "label", "reward_model", "info", "source", "x")
ROLES = st.sampled_from(["user", "assistant", "system", "\ud800"])
TEXT = st.text(st.characters(), max_size=12)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.just(10**4000) | st.floats() | TEXT
)  # fmt: skip
MESSAGE = st.fixed_dictionaries({}, optional={"role": ROLES | SCALARS, "content": SCALARS})
JUNK = st.recursive(
    SCALARS | st.lists(MESSAGE, max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["ground_truth", "answer"]) | TEXT, inner, max_size=3)
    ),
    max_leaves=6,
)
GOOD = st.fixed_dictionaries({"prompt": st.sampled_from(["one", "two"]), "answer": st.just("3")})
ROWS = st.lists(GOOD | st.dictionaries(st.sampled_from(NAMES) | TEXT, JUNK, max_size=4), max_size=4)


def outcome(path: Path | str, unusable: UnusableRows = UnusableRows.refuse) -> str:
    """What is said about the data at `path`, empty when they load; anything else is a failure."""
    config = DataConfig(path=str(path), unusable_rows=unusable)
    try:
        prompts = load_prompts(config, TOKENIZER, 20)
    except ValueError as error:
        assert type(error) is ValueError, f"{type(error).__name__} reaches the user: {error}"
        str(error).encode()
        return str(error)
    assert prompts
    for prompt in prompts:
        assert decode(encode(prompt), Prompt).id == prompt.id
        assert prompt.answer
        assert 0 < len(prompt.token_ids) <= 20
    return ""


def outcome_of(content: bytes, name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        outcome(file, UnusableRows.leave_out)
        return outcome(file)


def jsonl(rows: list[dict[str, object]]) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


@given(ROWS)
@example([{"prompt": "one", "answer": float("nan")}])
@example([{"prompt": "one", "answer": "\ud800"}])
@example([{"prompt": "one", "answer": 10**4000}])
@example([{"prompt": [{"role": "user", "content": "\udfff"}], "answer": "3"}])
@example([{"prompt": "one", "answer": "3", "source": {"a": [1]}}])
@settings(max_examples=EXAMPLES)
def test_rows_of_any_json_load_or_are_refused(rows: list[dict[str, object]]) -> None:
    outcome_of(jsonl(rows), "rows.jsonl")


@given(ROWS, st.integers(0, 400), st.binary(max_size=6), st.booleans())
@example([], 0, b"[" * 5000, False)
@example([], 0, b'{"prompt": ' + b'{"a": ' * 900 + b"1" + b"}" * 901, False)
@example([], 0, b'{"prompt": "one", "answer": ' + b"1" * 5000 + b"}", False)
@example([], 0, b"\xef\xbb\xbf" + b'{"prompt": "one", "answer": "3"}', False)
@settings(max_examples=EXAMPLES)
def test_damaged_lines_load_or_are_refused(
    rows: list[dict[str, object]], place: int, noise: bytes, cut: bool
) -> None:
    good = jsonl(rows)
    place = min(place, len(good))
    outcome_of(good[:place] + noise + (b"" if cut else good[place:]), "rows.jsonl")


def parquet(rows: list[dict[str, object]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


@given(st.integers(0, 2000), st.binary(min_size=1, max_size=40), st.booleans())
@settings(max_examples=EXAMPLES)
def test_damaged_parquet_loads_or_is_refused(place: int, noise: bytes, cut: bool) -> None:
    good = parquet([{"prompt": "one", "answer": "3", "level": 1}] * 3)
    place = min(place, len(good) - 1)
    rest = b"" if cut else good[place + len(noise) :]
    outcome_of(good[:place] + noise + rest, "rows.parquet")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"\xff"]),
        pa.array([1], pa.timestamp("ns")),
        pa.array([1], pa.date32()),
        pa.array([None]),
        pa.array([2**63], pa.uint64()),
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.array([float("nan")]),
    ],
    ids=lambda column: str(column.type),
)
def test_parquet_columns_of_any_type_load_or_are_refused(column: pa.Array) -> None:
    for rows in (
        {"prompt": pa.array(["one"]), "answer": pa.array(["3"]), "x": column},
        {"prompt": pa.array(["one"]), "answer": column},
        {"prompt": column, "answer": pa.array(["3"])},
    ):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(rows), sink)
        said = outcome_of(sink.getvalue().to_pybytes(), "rows.parquet")
        assert bool(said) == ("x" not in rows)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"train.jsonl": b"{"},
        {"train.jsonl": b"\xff\xfe\x00"},
        {"train.parquet": b"PAR1"},
        {"state.json": b"{}"},
        {"state.json": b"[", "dataset_info.json": b"["},
        {"dataset_dict.json": b'{"splits": ["test"]}'},
        {"notes.txt": b"hello"},
    ],
    ids=lambda files: "-".join(files) or "empty",
)
def test_a_folder_of_something_else_is_refused(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    assert outcome(folder)


@pytest.mark.parametrize(
    "path", ["a\0.jsonl", "./" + "x" * 5000, "~nobody-has-this-name/x", "lab:../short", "lab:"]
)
def test_what_is_no_path_is_refused(path: str) -> None:
    assert outcome(path)


def test_a_folder_that_is_named_like_a_file_is_read_as_a_folder(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").mkdir()
    assert "rows.jsonl" in outcome(tmp_path / "rows.jsonl")
