"""Prints what a run would do on clusters of several sizes: simulated, not measured.

    python scripts/size_cluster.py
    python scripts/size_cluster.py --gpus 8 16 --max-staleness 0 2 --median-tokens 1500 --limit 8192

The defaults are assumptions to be replaced by measurements of one engine and one learner GPU. With
staleness 0 every GPU generates, then learns; otherwise the GPUs are split between engines and the
learner as is best of 1/8, 1/4, 1/2, 3/4, 7/8.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rollout.simulation.cluster import Cluster, Workload, longest_first
from rollout.simulation.lengths import lognormal
from rollout.simulation.replica import affine
from rollout.simulation.simulator import Report, simulate

SPLITS = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 7 / 8)
"""Shares of the GPUs that are engines."""
COLUMNS = (
    ("GPUs", "{:>5}"), ("engines", "{:>8}"), ("learner", "{:>8}"), ("staleness", "{:>10}"),
    ("s/step", "{:>9}"), ("tokens/s", "{:>10}"), ("samples/s", "{:>10}"),
    ("engine idle", "{:>12}"), ("learner idle", "{:>13}"), ("age of tokens", "{:>14}"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One row: how many GPUs do what, and what comes of it."""

    num_gpus: int
    num_engines: int
    num_learners: int
    max_staleness: int
    report: Report

    @property
    def cells(self) -> list[str]:
        report = self.report
        age = sum(age * share for age, share in report.staleness.items())
        return [
            str(self.num_gpus),
            str(self.num_engines),
            str(self.num_learners),
            str(self.max_staleness),
            f"{report.seconds_per_step:.1f}",
            f"{report.tokens_per_second:.0f}",
            f"{report.samples_per_second:.1f}",
            f"{report.engine_idle_share:.0%}",
            f"{report.learner_idle_share:.0%}",
            f"{age:.2f}",
        ]


def main() -> None:
    asked = parser().parse_args()
    print(line([name for name, _ in COLUMNS]))
    for size in sizes(asked):
        print(line(size.cells), flush=True)


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64, 512])
    found.add_argument("--max-staleness", type=int, nargs="+", default=[0, 1, 4])
    found.add_argument("--steps", type=int, default=4, help="measured steps of each simulation")
    found.add_argument("--seed", type=int, default=0)
    work = found.add_argument_group("what an update takes")
    work.add_argument("--num-groups", type=int, default=128, help="prompts")
    work.add_argument("--group-size", type=int, default=16, help="completions of each")
    work.add_argument("--prompt-tokens", type=int, default=200)
    work.add_argument("--median-tokens", type=float, default=4000.0)
    work.add_argument("--sigma", type=float, default=0.6, help="of ln tokens within a prompt")
    work.add_argument("--prompt-sigma", type=float, default=0.5, help="between prompts")
    work.add_argument("--limit", type=int, default=32768, help="tokens")
    work.add_argument("--kept-share", type=float, default=1.0, help="of the groups")
    cost = found.add_argument_group("what a GPU does: a decode step of B sequences takes a + b B")
    cost.add_argument("--max-running", type=int, default=256)
    cost.add_argument("--decode-base-seconds", type=float, default=0.008, help="a")
    cost.add_argument("--decode-sequence-seconds", type=float, default=0.00006, help="b")
    cost.add_argument("--prefill-tokens-per-second", type=float, default=50_000.0)
    cost.add_argument("--learner-tokens-per-second", type=float, default=15_000.0)
    cost.add_argument("--publish-seconds", type=float, default=2.0)
    return found


def sizes(asked: argparse.Namespace) -> Iterator[Size]:
    """A row per number of GPUs and staleness; one GPU is never split."""
    for num_gpus in asked.gpus:
        for max_staleness in asked.max_staleness:
            if max_staleness == 0:
                yield sized(asked, num_gpus, num_gpus, num_gpus, max_staleness)
            elif num_gpus > 1:
                yield best_split(asked, num_gpus, max_staleness)


def best_split(asked: argparse.Namespace, num_gpus: int, max_staleness: int) -> Size:
    """The split that trains on the most tokens per second."""
    numbers = {min(max(1, round(num_gpus * share)), num_gpus - 1) for share in SPLITS}
    tried = [sized(asked, num_gpus, n, num_gpus - n, max_staleness) for n in sorted(numbers)]
    return max(tried, key=lambda size: size.report.tokens_per_second)


def sized(
    asked: argparse.Namespace, num_gpus: int, engines: int, learners: int, max_staleness: int
) -> Size:
    """One simulation."""
    lengths = lognormal(asked.median_tokens, asked.sigma, asked.prompt_sigma, asked.limit)
    mean_tokens = lengths(np.random.default_rng(asked.seed), 10_000, 1).tokens.mean()
    tokens_per_step = mean_tokens * asked.num_groups * asked.group_size
    cluster = Cluster(
        num_replicas=engines,
        max_running=asked.max_running,
        decode_seconds=affine(asked.decode_base_seconds, asked.decode_sequence_seconds),
        prefill_seconds_per_token=1 / asked.prefill_tokens_per_second,
        learner_seconds=float(tokens_per_step / (asked.learner_tokens_per_second * learners)),
        publish_seconds=asked.publish_seconds,
        order=longest_first,
    )
    workload = Workload(
        num_groups=asked.num_groups,
        group_size=asked.group_size,
        prompt_tokens=asked.prompt_tokens,
        lengths=lengths,
        max_staleness=max_staleness,
        kept_share=asked.kept_share,
    )
    return Size(
        num_gpus=num_gpus,
        num_engines=engines,
        num_learners=learners,
        max_staleness=max_staleness,
        report=simulate(cluster, workload, asked.steps, asked.seed),
    )


def line(cells: list[str]) -> str:
    """The cells under their columns."""
    return "".join(form.format(cell) for cell, (_, form) in zip(cells, COLUMNS, strict=True))


if __name__ == "__main__":
    main()
