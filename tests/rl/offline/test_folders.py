from pathlib import Path

import pytest
import torch

from rl.offline.folders import differences, listed, opened, read_weights, write_merged
from tests.rl.offline.models import model

ONE = {"a": torch.arange(4.0), "b": torch.ones(2, 3)}
OTHER = {"c": torch.zeros(2)}


def test_shards_are_read_by_their_index(tmp_path: Path) -> None:
    weights = read_weights(model(tmp_path / "m", ONE, OTHER))
    assert weights.shapes == {"a": (4,), "b": (2, 3), "c": (2,)}
    assert weights.names_by_file() == {
        "part-0.safetensors": ["a", "b"],
        "part-1.safetensors": ["c"],
    }
    with opened(weights) as tensor:
        assert tensor("a").tolist() == [0, 1, 2, 3]
        assert tensor("c").tolist() == [0, 0]


def test_a_merged_model_has_the_bases_shards_dtypes_and_other_files(tmp_path: Path) -> None:
    halves = {"a": torch.ones(4, dtype=torch.bfloat16)}
    base = model(tmp_path / "m", halves, OTHER)
    (base / "tokenizer.json").write_text("words")
    (base / "chat_template.jinja").write_text("template")
    (base / "pytorch_model.bin").write_bytes(b"pickle")
    target = tmp_path / "new" / "merged"
    write_merged(read_weights(base), target, lambda name, t: t.float() + 1, {"method": "plus"})
    assert sorted(path.name for path in target.iterdir()) == [
        "chat_template.jinja", "config.json", "merge.json", "model.safetensors.index.json",
        "part-0.safetensors", "part-1.safetensors", "tokenizer.json",
    ]  # fmt: skip
    assert (target / "merge.json").read_text() == '{\n  "method": "plus"\n}\n'
    merged = read_weights(target)
    assert merged.files == read_weights(base).files
    with opened(merged) as tensor:
        assert tensor("a").dtype == torch.bfloat16
        assert tensor("a").tolist() == [2] * 4
        assert tensor("c").tolist() == [1, 1]


def test_an_interrupted_merge_leaves_no_folder_and_the_next_one_begins_anew(tmp_path: Path) -> None:
    base, target = read_weights(model(tmp_path / "m", ONE, OTHER)), tmp_path / "merged"

    def fail(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if name == "c":
            raise KeyboardInterrupt
        return tensor

    with pytest.raises(KeyboardInterrupt):
        write_merged(base, target, fail, {})
    assert not target.exists()
    (tmp_path / "merged.partial" / "left_over.json").touch()
    target.mkdir()
    write_merged(base, target, lambda name, tensor: tensor, {})
    assert not (target / "left_over.json").exists()
    assert read_weights(target).shapes == base.shapes


def test_models_of_the_same_names_and_shapes_can_be_merged(tmp_path: Path) -> None:
    one, other = model(tmp_path / "1", ONE | OTHER), model(tmp_path / "2", OTHER, ONE)
    assert differences(read_weights(one), read_weights(other)) == []


def test_every_difference_is_named(tmp_path: Path) -> None:
    other = {"b": torch.ones(3, 2), **{f"x{i}": torch.ones(1) for i in range(5)}}
    one, two = model(tmp_path / "1", ONE), model(tmp_path / "2", other)
    assert differences(read_weights(one), read_weights(two)) == [
        f"{one} has weights that {two} lacks: a",
        f"{two} has weights that {one} lacks: x0, x1, x2 and 2 more",
        f"{one} and {two} have other shapes: b [2, 3] and [3, 2]",
    ]


@pytest.mark.parametrize(
    ("names", "text"), [(["a", "b", "c"], "a, b, c"), (["a", "b", "c", "d"], "a, b, c and 1 more")]
)
def test_three_names_are_listed(names: list[str], text: str) -> None:
    assert listed(names) == text


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: there is no such folder"):
        read_weights(tmp_path / "nowhere")
    torn = model(tmp_path / "torn", ONE, OTHER)
    (torn / "part-0.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"part-0.safetensors is damaged"):
        read_weights(torn)
    (torn / "part-0.safetensors").unlink()
    with pytest.raises(ValueError, match=r"part-0.safetensors is missing; .* safetensors only"):
        read_weights(torn)
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ValueError, match=r"model.safetensors is missing; .* safetensors only"):
        read_weights(pickled)


@pytest.mark.parametrize("index", ["{", "[]", '{"weight_map": 3}', "{}"])
def test_an_index_that_is_none_is_named(tmp_path: Path, index: str) -> None:
    folder = model(tmp_path / "m", ONE, OTHER)
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ValueError, match=r"index.json cannot be read"):
        read_weights(folder)


def test_an_index_cannot_name_files_of_other_folders(tmp_path: Path) -> None:
    model(tmp_path / "secret", ONE)
    folder = model(tmp_path / "m", ONE, OTHER)
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "../secret/model.safetensors"}}')
    with pytest.raises(ValueError, match=r"\.\./secret/model.safetensors is missing"):
        read_weights(folder)
