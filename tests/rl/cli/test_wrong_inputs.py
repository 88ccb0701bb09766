"""Every wrong input gets one message of the documented kind; `scripts/show_refusals.py` is it."""

from pathlib import Path

import datasets
import pytest

from tests.rl.cli.wrong_inputs import CASES, Wrong, refusal

FAST = [case for case in CASES if case.kind in ("config", "reward", "gate")]
SLOW = [case for case in CASES if case not in FAST]


def check(case: Wrong, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
    said = refusal(case, folder)
    assert case.said in said
    assert "Traceback" not in said


@pytest.mark.parametrize("case", FAST, ids=lambda case: f"{case.kind}: {case.tried}")
def test_wrong_config_or_reward_is_said(
    case: Wrong, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(case, tmp_path, monkeypatch)


@pytest.mark.engine
@pytest.mark.parametrize("case", SLOW, ids=lambda case: f"{case.kind}: {case.tried}")
def test_wrong_data_or_model_is_said(
    case: Wrong, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(case, tmp_path, monkeypatch)
