"""Speculation samples from the policy; where it would not, it is stopped before it starts."""

import contextlib

import pytest

from rollout.background import BackgroundLoop
from rollout.config import Speculation, VllmConfig
from rollout.engine import EngineError
from rollout.vllm import plugin, speculation, start
from tests.engine_fixtures import LAB, MAX_MODEL_TOKENS, started
from tests.rollout.engine_contract import Subject, closed_engine_refuses
from tests.rollout.vllm.reference import log_prob_gap, surprise

pytestmark = pytest.mark.engine

METADATA = "Metadata-Version: 2.1\nName: saboteur\nVersion: 1.0\n"
ENTRY_POINT = "[vllm.general_plugins]\nsaboteur = saboteur:register\n"
IN_WORKERS_ONLY = """
import multiprocessing
from rollout.vllm import patches, plugin

def broken():
    {broken}

if multiprocessing.parent_process() is not None:
    {target} = broken

def register():
    pass
"""


@pytest.fixture
def sabotage(tmp_path, monkeypatch):
    """Installs a second vLLM plugin, loaded before ours, that breaks ours in vLLM's processes."""

    def install(target, broken):
        (tmp_path / "saboteur.py").write_text(IN_WORKERS_ONLY.format(target=target, broken=broken))
        folder = tmp_path / "saboteur-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(METADATA)
        (folder / "entry_points.txt").write_text(ENTRY_POINT)
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


def start_speculating():
    with contextlib.closing(BackgroundLoop()) as loop:
        start.start_engine(
            VllmConfig(max_num_seqs=8, kv_cache_gib=0.25, speculation=Speculation.ngram),
            loop=loop,
            model_path=str(LAB / "short"),
            dtype="float32",
            max_model_tokens=MAX_MODEL_TOKENS,
        )


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(Speculation.ngram, marks=pytest.mark.long),
        pytest.param(Speculation.suffix, marks=pytest.mark.long),
        Speculation.history,
    ],
)
def test_speculation_samples_from_the_policy(method):
    with started(LAB / "short", speculation=method) as running:
        answered = running.sample(128, 400)
        model = running.model()
        gap, num_tokens = log_prob_gap(model, answered)
        assert num_tokens >= 2000 and gap <= 1e-3
        assert abs(surprise(model, answered)) < 4
        nucleus = running.sample(64, 64, temperature=0.7, top_p=0.95)
        assert log_prob_gap(model, nucleus, 0.7, 0.95)[0] <= 1e-3
        closed_engine_refuses(
            Subject(
                engine=running.engine,
                run=running.loop.run,
                prompts=running.prompts,
                short_limit=4,
                long_limit=400,
            )
        )


def test_stock_kernel_is_found_in_the_worker_and_stops_the_start(sabotage):
    sabotage("patches.replace_expand_kernel", "pass")
    with pytest.raises(EngineError, match="sample from a wrong distribution: expanding"):
        start_speculating()


@pytest.mark.long
def test_stock_kernel_would_have_sampled_from_another_distribution(sabotage, monkeypatch):
    """The guard is switched off here: this is what it prevents, and that `surprise` can tell."""
    sabotage("patches.replace_expand_kernel", "pass")
    monkeypatch.setattr(speculation, "check_speculation", lambda problems: None)
    with started(LAB / "short", speculation=Speculation.suffix) as running:
        assert abs(surprise(running.model(), running.sample(128, 400))) > 6


def test_plugin_that_raises_in_vllms_processes_stops_the_start(sabotage):
    sabotage("plugin.register", "raise OSError('no space left')")
    with pytest.raises(EngineError, match=r"vllm 0\.32\.0 did not start"):
        start_speculating()


def test_excluded_plugin_stops_the_start(monkeypatch):
    monkeypatch.setenv("VLLM_PLUGINS", "")
    with pytest.raises(EngineError, match="excludes the plugin laconic"):
        start_speculating()


def test_unknown_vllm_stops_the_start(monkeypatch):
    monkeypatch.setattr(plugin, "SUPPORTED_VERSIONS", ("0.31.0",))
    with pytest.raises(EngineError, match=r"vllm 0\.32\.0 is installed"):
        start_speculating()
