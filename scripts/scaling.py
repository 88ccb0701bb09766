"""Prints docs/scaling.md's tables: what a step of 32k tokens costs on 8, 64 and 512 GPUs, on paper.

    python scripts/scaling.py

Memory is `laconic plan`'s estimate, the flow of a step `rollout.simulation`'s. What a GPU does is a
roofline from its data sheet and the two efficiencies below: replace them by measured ones.
"""

from dataclasses import dataclass

import numpy as np

from rl.cli.memory import engine_weight_bytes, learner_memory
from rl.cli.shapes import Shapes
from rl.config import LearnerConfig
from rollout.simulation.cluster import Cluster, Workload, longest_first
from rollout.simulation.lengths import lognormal
from rollout.simulation.replica import affine
from rollout.simulation.simulator import Report, simulate
from scripts.markdown import table

GIB, GB = 2**30, 1e9
LIMIT, MEDIAN, PROMPT_TOKENS = 32_768, 6_000.0, 300
SIGMA, PROMPT_SIGMA = 0.6, 0.5
"""Of ln response tokens, within a prompt and between prompts."""
STEPS, SEED = 3, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """An H100 SXM: its data sheet, and the shares of it that are taken to be reached."""

    flops: float = 989e12
    memory_bytes: float = 80e9
    memory_bandwidth: float = 3.35e12
    network_bandwidth: float = 50e9
    """Bytes per second between nodes, one 400 Gb/s card for each GPU."""
    learner_efficiency: float = 0.35
    """Model FLOPs over peak FLOPs (MFU)."""
    decode_efficiency: float = 0.6
    """Of memory bandwidth while decoding, of FLOPs while prefilling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A model on a cluster; a replica spans `gpus_per_replica` of it."""

    name: str
    shapes: Shapes
    num_gpus: int
    num_learners: int
    gpus_per_replica: int
    num_groups: int
    group_size: int

    @property
    def num_replicas(self) -> int:
        return (self.num_gpus - self.num_learners) // self.gpus_per_replica


JOBS = (
    Job(
        name="1.5B",
        shapes=Shapes(
            num_parameters=1_777_088_000, num_layers=28, hidden_size=1536, intermediate_size=8960,
            num_kv_heads=2, head_dim=128, vocab_size=151_936, bytes_per_value=2,
        ),
        num_gpus=8, num_learners=3, gpus_per_replica=1, num_groups=64, group_size=16,
    ),
    Job(
        name="7B",
        shapes=Shapes(
            num_parameters=7_615_616_512, num_layers=28, hidden_size=3584, intermediate_size=18_944,
            num_kv_heads=4, head_dim=128, vocab_size=152_064, bytes_per_value=2,
        ),
        num_gpus=64, num_learners=24, gpus_per_replica=1, num_groups=128, group_size=16,
    ),
    Job(
        name="32B",
        shapes=Shapes(
            num_parameters=32_763_876_352, num_layers=64, hidden_size=5120,
            intermediate_size=27_648, num_kv_heads=8, head_dim=128, vocab_size=152_064,
            bytes_per_value=2,
        ),
        num_gpus=512, num_learners=192, gpus_per_replica=4, num_groups=256, group_size=16,
    ),
)  # fmt: skip
LEARNER = LearnerConfig(
    zero_stage=3, gradient_checkpointing=True, max_tokens_per_microbatch=LIMIT + PROMPT_TOKENS
)


def main() -> None:
    print(table(("", *(f"{job.name} on {job.num_gpus}" for job in JOBS)), memory_rows()))
    for max_staleness in (0, 2):
        print(f"\nmax_staleness={max_staleness}\n")
        print(table(("", *(job.name for job in JOBS)), step_rows(max_staleness)))


def flops_per_token(shapes: Shapes, context_tokens: float) -> float:
    """2 N + 4 L H c: a forward pass of one token that attends to c = `context_tokens` others.

    Kaplan et al. (arXiv:2001.08361, table 1), with the output matrix counted in N.
    """
    attention = 4 * shapes.num_layers * shapes.hidden_size * context_tokens
    return 2 * shapes.num_parameters + attention


def learner_tokens_per_second(shapes: Shapes, gpu: Gpu, mean_tokens: float) -> float:
    """Of one GPU: forward, backward (twice that) and the recomputed forward pass.

    The recomputed pass is no model FLOP: it lowers the rate by 3/4, not the efficiency.
    """
    forward = flops_per_token(shapes, mean_tokens / 2)
    return gpu.learner_efficiency * gpu.flops / (4 * forward)


def decode_seconds(
    shapes: Shapes, gpu: Gpu, gpus_per_replica: int, context_tokens: float
) -> tuple[float, float]:
    """a and b of T(B) = a + b B: reading the weights; a sequence's cache and its arithmetic."""
    bandwidth = gpu.decode_efficiency * gpu.memory_bandwidth * gpus_per_replica
    flops = gpu.decode_efficiency * gpu.flops * gpus_per_replica
    cache = shapes.kv_bytes_per_token * context_tokens
    arithmetic = flops_per_token(shapes, context_tokens) / flops
    return engine_weight_bytes(shapes) / bandwidth, cache / bandwidth + arithmetic


def max_running(shapes: Shapes, gpu: Gpu, gpus_per_replica: int, context_tokens: float) -> int:
    """Sequences of `context_tokens` whose cache fits beside the weights in 0.9 of the memory."""
    room = 0.9 * gpu.memory_bytes * gpus_per_replica - engine_weight_bytes(shapes)
    return int(room / (shapes.kv_bytes_per_token * context_tokens))


def mean_response_tokens() -> float:
    draw = lognormal(MEDIAN, SIGMA, PROMPT_SIGMA, LIMIT)
    return float(draw(np.random.default_rng(SEED), 10_000, 1).tokens.mean())


def publish_seconds(job: Job, gpu: Gpu) -> float:
    """The weights once through the slowest link: a broadcast in buckets is a pipeline."""
    return engine_weight_bytes(job.shapes) / gpu.network_bandwidth


def simulated(job: Job, max_staleness: int, gpu: Gpu) -> Report:
    """A few steps. With staleness 0 every GPU learns, then every GPU generates."""
    mean, together = mean_response_tokens(), max_staleness == 0
    replicas = job.num_gpus // job.gpus_per_replica if together else job.num_replicas
    learners = job.num_gpus if together else job.num_learners
    rate = learner_tokens_per_second(job.shapes, gpu, mean) * learners
    base, per_sequence = decode_seconds(job.shapes, gpu, job.gpus_per_replica, mean / 2)
    prefill = gpu.decode_efficiency * gpu.flops * job.gpus_per_replica
    cluster = Cluster(
        num_replicas=replicas,
        max_running=min(512, max_running(job.shapes, gpu, job.gpus_per_replica, mean / 2)),
        decode_seconds=affine(base, per_sequence),
        prefill_seconds_per_token=flops_per_token(job.shapes, PROMPT_TOKENS / 2) / prefill,
        learner_seconds=mean * job.num_groups * job.group_size / rate,
        publish_seconds=publish_seconds(job, gpu),
        order=longest_first,
    )
    workload = Workload(
        num_groups=job.num_groups,
        group_size=job.group_size,
        prompt_tokens=PROMPT_TOKENS,
        lengths=lognormal(MEDIAN, SIGMA, PROMPT_SIGMA, LIMIT),
        max_staleness=max_staleness,
    )
    return simulate(cluster, workload, STEPS, SEED)


def memory_rows() -> list[list[str]]:
    """What lies on a GPU, and what one publication moves."""
    gpu, mean = Gpu(), mean_response_tokens()
    memories = [learner_memory(job.shapes, LEARNER, job.num_learners, False, False) for job in JOBS]
    return [
        ["learner GPUs, engines x GPUs each"]
        + [f"{job.num_learners}, {job.num_replicas} x {job.gpus_per_replica}" for job in JOBS],
        ["learner, GiB a GPU"] + [f"{memory.total / GIB:.1f}" for memory in memories],
        ["of which weights, gradients, Adam"]
        + [f"{(m.parameters + m.gradients + m.optimizer) / GIB:.1f}" for m in memories],
        ["of which activations of 33k tokens"] + [f"{m.activations / GIB:.1f}" for m in memories],
        ["of which logits of 2,048 positions"] + [f"{m.logits / GIB:.1f}" for m in memories],
        ["logits of 33k positions would be"]
        + [f"{m.logits / GIB * LEARNER.max_tokens_per_microbatch / 2048:.1f}" for m in memories],
        ["engine weights, GiB a GPU"]
        + [f"{engine_weight_bytes(j.shapes) / j.gpus_per_replica / GIB:.1f}" for j in JOBS],
        ["cache, KiB a token"] + [f"{job.shapes.kv_bytes_per_token / 1024:.0f}" for job in JOBS],
        ["sequences of 32k an engine holds"]
        + [str(max_running(job.shapes, gpu, job.gpus_per_replica, LIMIT)) for job in JOBS],
        [f"sequences of {mean / 2:,.0f}, half a mean response"]
        + [str(max_running(job.shapes, gpu, job.gpus_per_replica, mean / 2)) for job in JOBS],
        ["published, GB a step"] + [f"{engine_weight_bytes(j.shapes) / GB:.1f}" for j in JOBS],
        ["seconds at 50 GB/s"] + [f"{publish_seconds(job, gpu):.1f}" for job in JOBS],
    ]


def step_rows(max_staleness: int) -> list[list[str]]:
    """What the simulator says of a step."""
    reports = [simulated(job, max_staleness, Gpu()) for job in JOBS]
    return [
        ["responses a step"] + [f"{job.num_groups * job.group_size:,}" for job in JOBS],
        ["seconds a step"] + [f"{r.seconds_per_step:.0f}" for r in reports],
        ["trained tokens/s"] + [f"{r.tokens_per_second:,.0f}" for r in reports],
        ["tokens/s a GPU"]
        + [f"{r.tokens_per_second / j.num_gpus:,.0f}" for r, j in zip(reports, JOBS, strict=True)],
        ["engines idle"] + [f"{r.engine_idle_share:.0%}" for r in reports],
        ["learner idle"] + [f"{r.learner_idle_share:.0%}" for r in reports],
        ["mean age of tokens, updates"]
        + [f"{sum(age * share for age, share in r.staleness.items()):.2f}" for r in reports],
    ]


if __name__ == "__main__":
    main()
