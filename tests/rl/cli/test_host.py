from dataclasses import replace

import pytest

from rl.cli.host import engine_settings, served
from rl.cli.model_folder import LAB
from rl.config import RunConfig
from rollout.config import ReplayConfig, Speculation, TransformersConfig, VllmConfig
from rollout.drafting.config import DraftModelConfig


def run(**options: object) -> RunConfig:
    config = RunConfig(rollout=VllmConfig(**options))
    config.model.path = "some/model"
    return config


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.7},
        {"max_staleness": 2},
        {"max_resampling_rounds": 20},
        {"probe_tokens": 0},
        {"hang_seconds": 9.0},
    ],
)
def test_runs_that_ask_their_engine_differently_share_it(options: dict[str, object]) -> None:
    assert engine_settings(run(**options)) == engine_settings(run())


def test_a_run_on_recorded_answers_shares_the_engine_of_its_kind() -> None:
    replaying = replace(run(), rollout=ReplayConfig())
    assert engine_settings(replaying) == engine_settings(run())


@pytest.mark.parametrize(
    "options",
    [
        {"max_num_seqs": 8},
        {"kv_cache_gib": 2.0},
        {"sync_bucket_mib": 8},
        {"max_prompt_tokens": 10},
        {"engine_args": {"block_size": 64}},
    ],
)
def test_an_engine_of_other_size_is_another_engine(options: dict[str, object]) -> None:
    assert engine_settings(run(**options)) != engine_settings(run())


def test_transformers_and_vllm_are_different_engines() -> None:
    other = replace(run(), rollout=TransformersConfig())
    assert engine_settings(other) != engine_settings(run())


def test_an_engine_gets_the_folder_of_a_lab_checkpoint_that_drafts() -> None:
    drafts = DraftModelConfig(path="lab:short_tied")
    config = run(speculation=Speculation.draft_model, draft_model=drafts)
    rollout = served(config)
    assert isinstance(rollout, VllmConfig)
    assert rollout.draft_model.path == str(LAB / "short_tied")
    assert served(run()) == run().rollout
