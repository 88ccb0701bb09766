"""What vLLM's server is started with; `test_served.py` starts it."""

import pytest

from rollout.config import Placement, VllmConfig
from rollout.vllm.server import server_arguments
from rollout.vllm.start import engine_arguments

pytestmark = pytest.mark.engine


def test_engine_arguments_are_a_runs_and_every_route_is_behind_the_token():
    engine = engine_arguments(VllmConfig(max_num_seqs=8), Placement.cpu, 600, 0)
    arguments = server_arguments({**engine, "model": "tiny", "seed": 3}, "127.0.0.1", 8001)
    assert (arguments.host, arguments.port) == ("127.0.0.1", 8001)
    assert (arguments.model, arguments.seed, arguments.max_num_seqs) == ("tiny", 3, 8)
    assert arguments.logprobs_mode == "processed_logprobs"
    assert arguments.weight_transfer_config == {"backend": "laconic_shared_memory"}
    assert arguments.middleware == ["rollout.vllm.token_guard.TokenGuard"]
    assert arguments.enable_scale_out and arguments.disable_fastapi_docs
