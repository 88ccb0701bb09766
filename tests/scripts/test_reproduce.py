import json
from pathlib import Path
from typing import Any

import pytest

from scripts import reproduce
from scripts.code_hash import code_hash
from scripts.reproduce import Entry, all_names, base_key, main, missing, record, summary

pytestmark = pytest.mark.thorough


def row(entry: Entry, code: str, wall_s: float = 100.0) -> dict[str, Any]:
    return {
        "lab": "short",
        "method": entry.method,
        "variant": entry.variant,
        "seed": entry.seed,
        "lab_version": "1",
        "wall_s": wall_s,
        "code_hash": code,
    }


def test_every_lab_recipe_and_every_variant_is_in_the_table() -> None:
    names = all_names()
    assert {"grpo", "hapo", "constant_cap", "constant_cap:cap_32"} <= set(names)
    assert len(names) == len(set(names))
    for name in (name for name in names if ":" in name):
        method, variant = name.split(":")
        Entry(method=method, variant=variant, seed=0).compose()


def test_a_run_is_named_by_the_command_that_makes_it_alone() -> None:
    entry = Entry(method="constant_cap", variant="cap_32", seed=2)
    assert entry.command == ("torchrun recipes/lab/constant_cap.yaml limit.cap_tokens=32 seed=2")
    assert (entry.compose().config.limit.max_response_tokens, entry.compose().config.seed) == (
        512,
        2,
    )


def test_a_valid_row_is_not_run_again_and_a_stale_one_is() -> None:
    kimi, slpo = (Entry(method=name, variant="", seed=0) for name in ("kimi", "slpo"))
    rows = [row(kimi, code_hash(kimi.compose().config)), row(slpo, "0" * 12)]
    assert missing(["kimi", "slpo"], [0], rows) == [slpo]
    assert missing(["kimi"], [0, 1], rows) == [Entry(method="kimi", variant="", seed=1)]


def test_runs_come_seed_by_seed() -> None:
    entries = missing(["kimi", "slpo"], [1, 0], [])
    assert [(entry.seed, entry.method) for entry in entries] == [
        (1, "kimi"), (1, "slpo"), (0, "kimi"), (0, "slpo"),
    ]  # fmt: skip


def test_the_total_counts_what_runs_of_a_method_took_before() -> None:
    entries = [Entry(method="kimi", variant="", seed=seed) for seed in (1, 2)]
    text = summary(entries, [row(Entry(method="kimi", variant="", seed=0), "x", wall_s=90.0)])
    assert text.splitlines()[0] == "2 runs, about 3 minutes"


def test_an_unknown_name_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["hapoo", "--list"])
    assert "no such runs: hapoo; there are cispo, constant_cap, " in capsys.readouterr().err


def test_runs_of_the_same_seed_share_the_evaluation_before_training() -> None:
    def key(method: str, seed: int = 0) -> str:
        return base_key(Entry(method=method, variant="", seed=seed).compose().config)

    assert key("grpo") == key("kimi") == key("constant_cap")
    assert key("grpo") != key("grpo", seed=1)
    assert key("grpo") != key("lcpo_exact"), "its prompts ask for numbers of tokens"


def test_a_stale_row_is_replaced_and_the_others_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reproduce, "LAB", tmp_path / "lab.json")
    kimi, slpo = (Entry(method=name, variant="", seed=0) for name in ("kimi", "slpo"))
    (tmp_path / "lab.json").write_text(json.dumps([row(kimi, "old"), row(slpo, "kept")]))
    record(row(kimi, "new"))
    rows = json.loads((tmp_path / "lab.json").read_text())
    assert [(one["method"], one["code_hash"]) for one in rows] == [
        ("kimi", "new"),
        ("slpo", "kept"),
    ]


def test_a_run_that_fails_does_not_stop_the_next(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun = []

    def run_entry(entry: Entry, *others: object) -> None:
        begun.append(entry.method)
        if entry.method == "kimi":
            raise ValueError("no batch could be filled")

    monkeypatch.setattr(reproduce, "run_entry", run_entry)
    monkeypatch.setattr(reproduce, "set_learner_threads", lambda *options: 1)
    entries = [Entry(method=name, variant="", seed=0) for name in ("kimi", "slpo")]
    assert reproduce.run_all(entries, 1) == entries[:1]
    assert begun == ["kimi", "slpo"]
    assert "torchrun recipes/lab/kimi.yaml seed=0 failed" in caplog.text
    assert "no batch could be filled" in caplog.text
