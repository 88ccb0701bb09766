"""Pushing to a Hub on loopback that speaks the real one's calls."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from rl.run.push import Pushed, PushError, push
from tests.hub_server import Hub, running_hub

pytestmark = pytest.mark.thorough

KEY = "hf_" + "k" * 34
CARD = b"---\nlibrary_name: transformers\ntags: [laconic]\n---\n# A model\n"
NAME = "ada/short-thinker"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub where KEY may write to ada's models, and huggingface_hub pointed at it."""
    with running_hub(**{KEY: ("ada",)}) as running:
        point_at(running.url, monkeypatch)
        yield running


def point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT, HF_HUB_DISABLE_XET and HF_HUB_OFFLINE set when a process starts."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", KEY)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "README.md").write_bytes(CARD)
    (folder / "config.json").write_text("{}")
    (folder / "empty.txt").write_text("")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 1000)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def on_hub(hub: Hub, name: str = NAME) -> dict[str, bytes]:
    files = hub.repositories[name].files
    return {path: content for path, content in files.items() if path != ".gitattributes"}


def test_a_push_makes_the_repository_and_one_commit_with_equal_bytes(
    hub: Hub, export: Path
) -> None:
    pushed = push(export, NAME, "first", private=True)
    repository = hub.repositories[NAME]
    assert pushed == Pushed(url=f"{hub.url}/{NAME}", commit=repository.head, changed=True)
    assert repository.commits == ["initial commit", "first"]
    assert repository.private
    assert on_hub(hub) == contents(export)


def test_an_unchanged_push_makes_no_commit(hub: Hub, export: Path) -> None:
    push(export, NAME, "first")
    again = push(export, NAME, "second")
    assert not again.changed
    assert hub.repositories[NAME].commits == ["initial commit", "first"]


def test_a_changed_push_is_one_commit_that_takes_away_stale_weights(hub: Hub, export: Path) -> None:
    push(export, NAME, "first")
    (export / "model.safetensors").unlink()
    for part in (1, 2):
        (export / f"model-{part:05d}-of-00002.safetensors").write_bytes(bytes([part]) * 999)
    assert push(export, NAME, "second").changed
    assert hub.repositories[NAME].commits == ["initial commit", "first", "second"]
    assert on_hub(hub) == contents(export)


def test_files_that_somebody_added_on_the_hub_stay(hub: Hub, export: Path) -> None:
    push(export, NAME, "first")
    hub.repositories[NAME].files["figure.png"] = b"picture"
    assert not push(export, NAME, "second").changed
    assert on_hub(hub)["figure.png"] == b"picture"


def test_large_weights_arrive_whole_in_parts(hub: Hub, export: Path) -> None:
    hub.multipart_bytes = 100_000
    push(export, NAME, "first")
    assert sum("/storage/" in line for line in hub.requests) == 3
    assert on_hub(hub) == contents(export)


def test_without_a_key_nothing_is_asked(
    hub: Hub, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    with pytest.raises(PushError, match=r"no key .*: log in with `hf auth login`, or set HF_TOKEN"):
        push(export, NAME, "first")
    assert hub.requests == []


def test_a_key_that_the_hub_does_not_know_is_named_but_never_shown(
    hub: Hub, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    with pytest.raises(PushError, match=r"the Hub refused the key \(401") as caught:
        push(export, NAME, "first")
    assert "xxx" not in str(caught.value)


@pytest.mark.parametrize("exists", [False, True])
def test_no_right_to_write_is_named(hub: Hub, export: Path, exists: bool) -> None:
    if exists:
        hub.seed("grace/model", {"README.md": CARD})
    with pytest.raises(PushError, match=r"grace/model: the key has no right to write there \(403"):
        push(export, "grace/model", "first")
    assert list(hub.repositories) == (["grace/model"] if exists else [])


def test_a_name_taken_by_another_kind_of_model_is_left_alone(hub: Hub, export: Path) -> None:
    theirs = {"README.md": b"---\ntags: [gguf]\n---\n", "model.gguf": b"weights"}
    hub.seed(NAME, theirs)
    with pytest.raises(PushError, match=r"taken by a model that is no export .*README\.md, model"):
        push(export, NAME, "first")
    assert on_hub(hub) == theirs


def test_a_repository_that_an_interrupted_push_left_empty_is_used(hub: Hub, export: Path) -> None:
    hub.seed(NAME, {})
    assert push(export, NAME, "first").changed


def test_private_is_not_promised_for_a_public_repository(hub: Hub, export: Path) -> None:
    push(export, NAME, "first")
    with pytest.raises(PushError, match="is public; make it private"):
        push(export, NAME, "second", private=True)


def test_a_hub_that_fails_in_mid_upload_gets_no_commit(hub: Hub, export: Path) -> None:
    before = contents(export)
    hub.fails = {"PUT /storage": 403}
    with pytest.raises(PushError, match="no right to write"):
        push(export, NAME, "first")
    assert hub.repositories[NAME].commits == ["initial commit"]
    hub.fails = {"/commit/main": 500}
    with pytest.raises(PushError, match=r"answered 500 .*nothing was committed, push again"):
        push(export, NAME, "first")
    hub.fails = {}
    assert push(export, NAME, "first").changed
    assert on_hub(hub) == contents(export) == before


def test_no_network_is_one_message(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    point_at(f"http://127.0.0.1:{port}", monkeypatch)
    with pytest.raises(PushError, match=r"the Hub cannot be reached .*push again"):
        push(export, NAME, "first")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PushError, match="HF_HUB_OFFLINE is set"):
        push(export, NAME, "first")


@pytest.mark.parametrize("name", ["a/b/c", "ada/with space", "ada/--"])
def test_a_name_that_the_hub_cannot_hold_is_refused(hub: Hub, export: Path, name: str) -> None:
    with pytest.raises(PushError, match="is no name of the Hub"):
        push(export, name, "first")
