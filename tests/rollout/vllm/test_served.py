"""Two `laconic serve` replicas on loopback as one engine: contract, weights, one that is killed.

Each starts a vLLM of its own.
"""

import asyncio
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from data.types import Completion, Prompt
from rl.run.history_check import history_problems
from rollout.background import BackgroundLoop
from rollout.config import Placement, VllmConfig
from rollout.engine import Engine, Sampling
from rollout.fingerprint import fingerprint, stale_parameters
from rollout.recovery import Patience
from rollout.replication.engine import ReplicatedEngine
from rollout.replication.roster import Health
from rollout.supervisor import Started, Supervisor
from rollout.transfer import HeldTransfer
from rollout.vllm.replicas import Served, connect_all
from rollout.vllm.token_guard import TOKEN_VARIABLE
from tests.engine_fixtures import LAB, lab_prompts
from tests.rollout.engine_contract import CONTRACT, INTERRUPTIONS, Subject
from tests.rollout.vllm.exactness import chi_square_p_value, holm_rejects
from tests.rollout.vllm.joint import Joint, first_tokens
from tests.rollout.vllm.reference import log_prob_gap, moved

pytestmark = [pytest.mark.engine, pytest.mark.long]

ROOT = Path(__file__).resolve().parents[3]
FINISHED_SECONDS = 60.0
"""In which a run's requests end although one of two replicas was killed under them."""
REQUESTS = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two served replicas, connected to."""

    processes: Sequence[subprocess.Popen]
    engine: ReplicatedEngine
    transfer: HeldTransfer
    loop: BackgroundLoop
    prompts: Sequence[Prompt]

    def sample(self, count, limit, engine=None, **options) -> list[tuple[Prompt, Completion]]:
        """`count` seeded completions over the prompts in turn, all in flight at once."""
        sampler: Engine = engine or self.engine
        prompts = list(itertools.islice(itertools.cycle(self.prompts), count))

        async def together():
            samplings = [
                Sampling(id=f"pair-{next(REQUESTS)}", limit=limit, seed=seed, **options)
                for seed in range(count)
            ]
            pairs = zip(prompts, samplings, strict=True)
            return await asyncio.gather(*(sampler.sample(p, s) for p, s in pairs))

        return list(zip(prompts, self.loop.run(together()), strict=True))

    def publish(self, model) -> None:
        self.transfer.start()
        self.transfer.send(list(model.named_parameters()))
        self.transfer.finish(self.engine.weight_version + 1)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(port: int) -> subprocess.Popen:
    words = ["serve", "recipes/quickstart.yaml", "--port", str(port)]
    overrides = ["rollout.max_num_seqs=32", "rollout.kv_cache_gib=0.25", "rollout.num_threads=1"]
    command = [sys.executable, "-c", "from rl.cli.main import main; main()", *words, *overrides]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with pytest.MonkeyPatch.context() as environment, closing(BackgroundLoop()) as loop:
        environment.setenv(TOKEN_VARIABLE, "open sesame")
        ports = [free_port(), free_port()]
        processes = [serve(port) for port in ports]
        config = VllmConfig(
            placement=Placement.remote, urls=[f"http://127.0.0.1:{port}" for port in ports]
        )
        served = Served(model_path=str(LAB / "short"), dtype="float32", max_model_tokens=640)
        try:
            engine = connect_all(config, served, loop, 0)
            with closing(engine.start_transfer(1)) as transfer:
                yield Pair(
                    processes=processes,
                    engine=engine,
                    transfer=transfer,
                    loop=loop,
                    prompts=lab_prompts(LAB / "short", 32),
                )
            engine.shutdown()
        finally:
            for process in processes:
                process.terminate()
                process.wait(60)


def lab_model():
    return AutoModelForCausalLM.from_pretrained(LAB / "short", dtype=torch.float32).eval()


@pytest.mark.parametrize("clause", [*CONTRACT, *INTERRUPTIONS])
def test_two_served_replicas_keep_the_engine_contract(pair, clause):
    clause(
        Subject(
            engine=pair.engine,
            run=pair.loop.run,
            prompts=pair.prompts,
            short_limit=4,
            long_limit=400,
        )
    )


def test_served_replicas_and_an_engine_in_process_have_the_models_distribution(pair, lab_engine):
    """Joint counts of three tokens after two short prefixes; Holm at 1 percent for each engine."""
    text = tuple(pair.prompts[0].token_ids.tolist())
    joints = [Joint(lab_model(), text[:length], depth=3, temperature=1.5) for length in (4, 8)]
    served = [pair.engine.engine_of(index) for index in pair.engine.running()]
    for loop, engine in [
        *((pair.loop, each) for each in served),
        (lab_engine.loop, lab_engine.engine),
    ]:
        p_values = [
            chi_square_p_value(
                joint.counts(first_tokens(loop, engine, joint, range(4000))), joint.probabilities
            )
            for joint in joints
        ]
        assert not any(holm_rejects(p_values, 0.01)), p_values


def test_a_run_on_two_served_replicas_finishes_with_its_books_balanced(tmp_path):
    ports = [free_port(), free_port()]
    processes = [serve(port) for port in ports]
    urls = ",".join(f"http://127.0.0.1:{port}" for port in ports)
    words = ["rollout.placement=remote", f"rollout.urls=[{urls}]", "num_steps=3", "log.wandb=off"]
    words += ["evaluation.num_problems=20", f"run.dir={tmp_path / 'run'}"]
    torchrun = Path(sys.executable).with_name("torchrun")
    try:
        command = [str(torchrun), "recipes/quickstart.yaml", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    finally:
        for process in processes:
            process.terminate()
            process.wait(60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert history_problems(tmp_path / "run") == []
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 3


def test_published_weights_are_those_that_sample_at_both(pair):
    model = moved(lab_model())
    pair.publish(model)
    wanted = {name: fingerprint(name, value) for name, value in model.named_parameters()}
    told = []
    for index in pair.engine.running():
        replica = pair.engine.engine_of(index)
        answered = pair.sample(32, 32, engine=replica)
        assert log_prob_gap(model, answered)[0] <= 1e-3
        assert stale_parameters(replica.fingerprints(), wanted, 1e-4) == []
        told.append([c.token_ids.tolist() for _, c in answered])
    assert told[0] == told[1]
    pair.publish(lab_model())


def test_what_a_killed_replica_had_is_finished_by_the_other(pair, record_property):
    """The last test of the module: it leaves one replica."""
    patience = Patience(hang_seconds=600, max_restarts=0, window_seconds=1)
    held = Started(engine=pair.engine, transfer=pair.transfer, watches_itself=True)
    supervisor = Supervisor(held, lambda version: held, lambda *_: None, pair.loop, patience)
    reissued = []
    supervisor.on_reissue = lambda lost_id, fresh_id: reissued.append(lost_id)
    before = pair.engine.tokens_received

    def kill():
        while pair.engine.tokens_received - before < 200:
            time.sleep(0.01)
        pair.processes[0].send_signal(signal.SIGKILL)
        return time.monotonic()

    killed = pair.loop.submit(asyncio.to_thread(kill))
    answered = pair.sample(64, 300, engine=supervisor, temperature=2.0)
    seconds = time.monotonic() - killed.result()
    record_property("seconds", seconds)
    assert len(answered) == 64 and reissued
    assert sum("+" in completion.id for _, completion in answered) == len(reissued)
    assert list(pair.engine.health.values()) == [Health.LOST, Health.SERVING]
    assert log_prob_gap(lab_model(), answered, temperature=2.0)[0] <= 1e-3
    assert seconds < FINISHED_SECONDS
    supervisor.release()
