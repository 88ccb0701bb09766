import pytest

from rollout.engine import EngineError
from rollout.vllm import plugin
from rollout.vllm.guards import check_plugin, check_speculation


def test_installed_plugin_passes():
    check_plugin("0.32.0")
    check_plugin("0.32.0+cpu")


def test_unknown_vllm_is_named():
    with pytest.raises(EngineError, match=r"vllm 0\.33\.0 is installed; .* vllm 0\.32\.0"):
        check_plugin("0.33.0")


@pytest.mark.parametrize("allowed", ["", "lora_filesystem_resolver"])
def test_excluded_plugin_is_named(monkeypatch, allowed):
    monkeypatch.setenv("VLLM_PLUGINS", allowed)
    with pytest.raises(EngineError, match="excludes the plugin laconic"):
        check_plugin("0.32.0")


def test_plugin_among_the_allowed_ones_passes(monkeypatch):
    monkeypatch.setenv("VLLM_PLUGINS", "other,laconic")
    check_plugin("0.32.0")


def test_raising_plugin_is_named(monkeypatch):
    def register():
        raise OSError("no space left")

    monkeypatch.setattr(plugin, "register", register)
    with pytest.raises(EngineError, match=r"plugin:register raised OSError: no space left"):
        check_plugin("0.32.0")


def test_plugin_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("rollout.vllm.guards.entry_points", lambda group: [])
    with pytest.raises(EngineError, match="no entry point laconic"):
        check_plugin("0.32.0")


def test_one_wrong_worker_forbids_speculation():
    check_speculation(["", ""])
    with pytest.raises(EngineError, match=r"wrong distribution: seven; set rollout.speculation"):
        check_speculation(["", "seven"])
