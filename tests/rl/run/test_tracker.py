import json
import logging
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

from rl.config import TrackerMode
from rl.run.tracker import Tracker, key_problem, start_tracker

RECIPE = {"seed": 3, "algorithm": {"group_size": 8}}


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without a key, whatever this one has."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    wandb.teardown()
    yield
    wandb.teardown()


def records(folder: Path) -> list[Any]:
    """Every record of the offline runs under `folder`, in order."""
    found = []
    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        for payload in log_payloads(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(payload)
            found.append(record)
    return found


def log_payloads(content: bytes) -> Iterator[bytes]:
    """Payloads of a `.wandb` file: LevelDB's log format after a file header of 7 bytes.

    Blocks of 32 KiB hold chunks of crc32, length and type (1 whole, 2 first, 3 middle, 4 last).
    """
    position, parts = 7, b""
    while position + 7 <= len(content):
        if position % 32768 > 32768 - 7:
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            yield parts
            parts = b""


def history(folder: Path) -> list[dict[str, Any]]:
    return [
        {item.key or item.nested_key[0]: json.loads(item.value_json) for item in r.history.item}
        for r in records(folder)
        if r.WhichOneof("record_type") == "history"
    ]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.message for r in caplog.records if r.name == "rl.run.tracker"]


def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "palu-1"
    folder.mkdir()
    return folder


def test_without_a_key_the_run_is_recorded_offline_in_its_folder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = run_folder(tmp_path)
    tracker = start_tracker(TrackerMode.auto, folder, "laconic", RECIPE)
    assert Path(tracker.location).parent == folder / "wandb"
    tracker.log(1, {"reward": 0.25, "rewards/length/mean": -0.5})
    shown = [{"id": "a", "budget": None}, {"id": "b", "budget": 8}]
    tracker.table(1, "completions", shown)
    tracker.log(2, {"reward": 0.5})
    tracker.table(2, "completions", [])
    tracker.summarize({"final": {"accuracy": 0.9}})
    tracker.close()
    rows = history(folder)
    assert [row for row in rows if "completions" in row] == rows[:1]
    (table,) = folder.glob("wandb/offline-run-*/files/media/table/completions_1_*.table.json")
    assert json.loads(table.read_text())["data"] == [["a", None], ["b", 8]]
    assert [(row["_step"], row["reward"]) for row in rows] == [(1, 0.25), (2, 0.5)]
    assert rows[0]["rewards/length/mean"] == -0.5
    (run,) = [r.run for r in records(folder) if r.WhichOneof("record_type") == "run"]
    assert (run.project, run.display_name) == ("laconic", "palu-1")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert {key: config[key] for key in RECIPE} == RECIPE
    assert capfd.readouterr().out == ""


def test_a_resumed_run_keeps_its_id(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    for step in (1, 2):
        tracker = start_tracker(TrackerMode.offline, folder, "laconic", RECIPE)
        tracker.log(step, {"reward": 0.0})
        tracker.close()
    ids = {r.run.run_id for r in records(folder) if r.WhichOneof("record_type") == "run"}
    assert ids == {(folder / "wandb_id").read_text()}


def test_a_table_that_is_not_listed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'samples' is not in TABLES of rl/run/metrics\.py"):
        Tracker(None).table(1, "samples", [{"id": "a"}])


def test_off_writes_nothing(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    tracker = start_tracker(TrackerMode.off, folder, "laconic", RECIPE)
    tracker.log(1, {"reward": 0.0})
    tracker.close()
    assert tracker.location == ""
    assert list(folder.iterdir()) == []


def test_online_needs_a_key_that_can_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    said = key_problem(TrackerMode.online)
    assert said is not None and said.startswith("log.wandb=online: there is no key; run `wandb log")
    monkeypatch.setenv("WANDB_API_KEY", "short")
    said = key_problem(TrackerMode.online)
    assert said is not None and "API key must have" in said
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    assert key_problem(TrackerMode.online) is None


@pytest.mark.parametrize("mode", [TrackerMode.auto, TrackerMode.offline, TrackerMode.off])
def test_a_run_that_may_be_offline_needs_no_key(mode: TrackerMode) -> None:
    assert key_problem(mode) is None


def test_a_malformed_key_leads_to_an_offline_run_and_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "short")
    with caplog.at_level(logging.WARNING, logger="rl.run.tracker"):
        tracker = start_tracker(TrackerMode.auto, run_folder(tmp_path), "laconic", RECIPE)
    tracker.close()
    assert [w.split(" (")[0] for w in warnings_of(caplog)] == ["W&B: cannot start online"]
    assert "offline-run" in str(list((tmp_path / "palu-1" / "wandb").iterdir()))


def test_an_unreachable_server_leads_to_an_offline_run_and_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("rl.run.tracker.INIT_TIMEOUT_SECONDS", 2)
    folder = run_folder(tmp_path)
    with caplog.at_level(logging.WARNING, logger="rl.run.tracker"):
        tracker = start_tracker(TrackerMode.auto, folder, "laconic", RECIPE)
    tracker.log(1, {"reward": 0.5})
    tracker.close()
    assert len(warnings_of(caplog)) == 1
    assert [row["reward"] for row in history(folder)] == [0.5]


def test_what_the_service_raises_is_logged_once_and_the_run_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class LostService:
        def log(self, metrics: dict[str, float], step: int) -> None:
            raise ConnectionResetError("Connection lost")

    tracker = Tracker(LostService())
    with caplog.at_level(logging.WARNING, logger="rl.run.tracker"):
        tracker.log(1, {"reward": 0.5})
        tracker.log(2, {"reward": 0.5})
        tracker.close()
    assert len(warnings_of(caplog)) == 1
    assert "Connection lost" in caplog.text
