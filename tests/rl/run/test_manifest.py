import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.run.manifest import MANIFEST, damage, seal

FILES = {"state.json": b'{"step": 4}', "learner/shard.pt": b"weights" * 9, "learner/empty": b""}


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    return seal_files(tmp_path / "step_4")


def seal_files(folder: Path) -> Path:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    seal(folder)
    return folder


def test_a_sealed_folder_is_whole(sealed: Path) -> None:
    assert damage(sealed) == ""


def test_the_manifest_names_size_and_hash_of_every_file(sealed: Path) -> None:
    listed = json.loads((sealed / MANIFEST).read_text())["files"]
    assert {name: entry["bytes"] for name, entry in listed.items()} == {
        "learner/empty": 0,
        "learner/shard.pt": 63,
        "state.json": 11,
    }
    # b2sum --length=256 of nothing
    empty = "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"
    assert listed["learner/empty"]["blake2b"] == empty


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_named(sealed: Path, name: str) -> None:
    (sealed / name).unlink()
    assert damage(sealed) == f"{name} is missing"


def test_a_file_cut_short_is_named_with_both_sizes(sealed: Path) -> None:
    (sealed / "learner" / "shard.pt").write_bytes(FILES["learner/shard.pt"][:-1])
    assert damage(sealed) == "learner/shard.pt has 62 bytes instead of 63"


def test_a_folder_without_a_manifest_was_never_finished(sealed: Path) -> None:
    (sealed / MANIFEST).unlink()
    assert damage(sealed) == "manifest.json is missing"


def test_few_of_many_damaged_files_are_named(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"shard_{number}").write_text("x")
    seal(tmp_path)
    for number in range(8):
        (tmp_path / f"shard_{number}").unlink()
    assert damage(tmp_path).endswith("shard_4 is missing and 3 more")


@pytest.fixture(scope="module")
def sealed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seal_files(tmp_path_factory.mktemp("sealed"))


@given(data=st.data())
def test_a_flipped_bit_is_found_in_its_file(sealed_once: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name, content in FILES.items() if content]))
    position = data.draw(st.integers(0, 8 * len(FILES[name]) - 1))
    (sealed_once / name).write_bytes(flipped(FILES[name], position))
    assert damage(sealed_once) == f"{name} has other bytes than were saved"
    (sealed_once / name).write_bytes(FILES[name])


@given(data=st.data())
def test_a_flipped_bit_of_the_manifest_is_found(sealed_once: Path, data: st.DataObject) -> None:
    whole = (sealed_once / MANIFEST).read_bytes()
    torn = flipped(whole, data.draw(st.integers(0, 8 * len(whole) - 1)))
    (sealed_once / MANIFEST).write_bytes(torn)
    # Another white space is the same manifest.
    assert damage(sealed_once).startswith(MANIFEST) or torn.split() == whole.split()
    (sealed_once / MANIFEST).write_bytes(whole)


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
