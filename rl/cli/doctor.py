"""`laconic doctor`: what works here, and the mend for what does not; starts nothing heavy.

`--engine` also starts a tiny vLLM on the lab's checkpoint and samples one token.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

from rl.cli import check_machine, check_services, check_software
from rl.cli.entry import installation_root
from rl.cli.finding import Finding, failure, good
from rl.cli.machine import Machine
from rl.cli.model_folder import LAB

ENGINE_MEND = "VLLM_LOGGING_LEVEL=INFO shows vLLM's own messages"


def examine(machine: Machine, *, engine: bool) -> Iterator[Finding]:
    """Every finding, the quick ones first."""
    yield check_software.python_version()
    yield check_software.our_packages()
    yield check_software.recipe_hook()
    yield check_machine.cores(machine)
    yield check_machine.memory()
    yield check_machine.shared_memory()
    yield check_machine.disk()
    yield check_machine.loopback()
    yield check_machine.torchrun_port()
    yield check_services.wandb_key()
    yield check_services.hub_token()
    yield check_services.hub()
    yield check_software.pins(installation_root())
    yield check_software.torch_build(machine.num_gpus)
    yield check_software.gpus(machine.num_gpus)
    yield check_software.vllm_engine()
    yield from check_software.imports()
    if engine:
        yield one_token()


def one_token() -> Finding:
    """Starts the engine as a run would, and samples a token of the lab's model."""
    import numpy as np

    from data.types import Prompt
    from rollout.background import BackgroundLoop
    from rollout.config import VllmConfig
    from rollout.engine import EngineError, Sampling
    from rollout.vllm.start import start_engine

    prompt = Prompt(id="doctor", messages=(), token_ids=np.array([1, 2], np.int32), answer="")
    started = time.perf_counter()
    with ExitStack() as parts:
        loop = parts.enter_context(closing(BackgroundLoop()))
        try:
            running = start_engine(
                VllmConfig(max_num_seqs=1, kv_cache_gib=0.25),
                loop=loop,
                model_path=str(LAB / "short"),
                dtype="float32",
                max_model_tokens=64,
            )
            parts.callback(running.shutdown)
            completion = loop.run(running.sample(prompt, Sampling(id="doctor", limit=1)))
        except EngineError as error:
            return failure("engine", str(error), ENGINE_MEND)
    seconds = time.perf_counter() - started
    return good(
        "engine", f"{running.name} sampled {completion.num_tokens} token in {seconds:.0f} s"
    )
