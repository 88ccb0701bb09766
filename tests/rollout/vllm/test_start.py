import pytest

from rollout.config import Placement, Speculation, VllmConfig
from rollout.drafting.config import DraftModelConfig
from rollout.vllm.history_proposer import HistoryProposer
from rollout.vllm.start import engine_arguments, engine_placement, engine_variables


@pytest.mark.parametrize(
    ("num_learners", "num_gpus", "expected"),
    [
        (1, 0, (Placement.cpu, [])),
        (1, 1, (Placement.shared, [0])),
        (4, 8, (Placement.separate, [4, 5, 6, 7])),
        (2, 2, (Placement.shared, [0, 1])),
    ],
)
def test_placement_follows_from_the_devices(num_learners, num_gpus, expected):
    assert engine_placement(VllmConfig(), num_learners, num_gpus) == expected


def test_devices_limits_the_engines_of_separate():
    config = VllmConfig(placement=Placement.separate, devices=2)
    assert engine_placement(config, 4, 8) == (Placement.separate, [4, 5])


@pytest.mark.parametrize(
    ("config", "num_learners", "num_gpus", "message"),
    [
        (VllmConfig(placement=Placement.separate), 2, 2, "2 GPUs minus 2 learners leave 0"),
        (VllmConfig(placement=Placement.separate, devices=7), 2, 8, "rollout.devices=7"),
        (VllmConfig(placement=Placement.shared), 2, 1, "2 learners on 1 GPUs"),
    ],
)
def test_impossible_placement_is_refused(config, num_learners, num_gpus, message):
    with pytest.raises(ValueError, match=message):
        engine_placement(config, num_learners, num_gpus)


def test_cpu_engine_is_eager_with_small_blocks_and_whole_prefills():
    arguments = engine_arguments(VllmConfig(kv_cache_gib=0.5), Placement.cpu, 600, 0)
    assert arguments["enforce_eager"] and not arguments["enable_chunked_prefill"]
    assert arguments["kv_cache_memory_bytes"] == 2**29
    assert arguments["block_size"] == 32
    assert arguments["weight_transfer_config"] == {"backend": "laconic_shared_memory"}
    assert arguments["distributed_executor_backend"] == "rollout.vllm.executor.WholeStepExecutor"


def test_gpu_engines_replicate_over_their_devices():
    arguments = engine_arguments(VllmConfig(), Placement.separate, 600, 4)
    assert arguments["data_parallel_size"] == 4 and not arguments["enable_sleep_mode"]
    assert arguments["weight_transfer_config"] == {"backend": "nccl"}
    assert "distributed_executor_backend" not in arguments
    shared = engine_arguments(VllmConfig(), Placement.shared, 600, 1)
    assert shared["enable_sleep_mode"] and shared["weight_transfer_config"] == {"backend": "ipc"}


def test_speculation_gets_room_for_its_drafts():
    """Near the end of the context vLLM would switch drafting off for the whole batch."""
    config = VllmConfig(speculation=Speculation.suffix, num_speculative_tokens=8)
    arguments = engine_arguments(config, Placement.cpu, 600, 0)
    assert arguments["max_model_len"] == 600 + 8 + 1
    assert arguments["speculative_config"] == {"method": "suffix", "num_speculative_tokens": 8}
    assert engine_arguments(VllmConfig(), Placement.cpu, 600, 0)["max_model_len"] == 600


def test_engine_args_reach_vllm_but_not_over_our_own():
    config = VllmConfig(engine_args={"max_num_batched_tokens": 4096})
    assert engine_arguments(config, Placement.cpu, 600, 0)["max_num_batched_tokens"] == 4096
    config = VllmConfig(engine_args={"logprobs_mode": "raw_logprobs"})
    with pytest.raises(ValueError, match=r"engine_args sets logprobs_mode"):
        engine_arguments(config, Placement.cpu, 600, 0)


def test_pickled_handles_are_allowed_for_shared_devices_only():
    config = VllmConfig()
    separate = engine_variables(config, Placement.separate, [2, 3])
    assert separate == {"CUDA_VISIBLE_DEVICES": "2,3"}
    shared = engine_variables(config, Placement.shared, [0])
    assert shared["VLLM_ALLOW_INSECURE_SERIALIZATION"] == "1"


def test_history_is_drafted_by_a_class_of_ours_that_exists():
    config = VllmConfig(speculation=Speculation.history, num_speculative_tokens=4)
    drafts = engine_arguments(config, Placement.cpu, 600, 0)["speculative_config"]
    assert drafts == {
        "method": "custom_class",
        "model": f"{HistoryProposer.__module__}.{HistoryProposer.__qualname__}",
        "num_speculative_tokens": 4,
    }


def test_a_draft_model_draws_its_drafts_and_their_fates_are_kept():
    config = VllmConfig(
        speculation=Speculation.draft_model,
        num_speculative_tokens=4,
        draft_model=DraftModelConfig(path="organisation/small", revision="v2"),
    )
    arguments = engine_arguments(config, Placement.cpu, 600, 0)
    assert arguments["speculative_config"] == {
        "method": "draft_model",
        "model": "organisation/small",
        "revision": "v2",
        "draft_sample_method": "probabilistic",
        "num_speculative_tokens": 4,
    }
    assert arguments["per_request_spec_decode_metrics"] == "detailed"
    plain = engine_arguments(VllmConfig(speculation=Speculation.suffix), Placement.cpu, 600, 0)
    assert "per_request_spec_decode_metrics" not in plain
