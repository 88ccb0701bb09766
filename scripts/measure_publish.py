"""Prints what publishing adds to the memory of every rank, by model size and number of ranks.

    python scripts/measure_publish.py
    python scripts/measure_publish.py --layers 1 4 17 --ranks 2 4

Models of `laconic bench sync` (9.4 million parameters a layer) under ZeRO stage 3. At rest a rank
holds its shard of weights and optimizer. Publishing is to add buckets, whatever the model: the line
fitted to what it adds, over the sizes of models that are larger than a bucket, would be flat. Freed
memory goes back to the system at once here (`RETURNING`); glibc would keep some of it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression

import torch

from data.config import ModelConfig
from rl.algorithms.grpo import GrpoConfig
from rl.bench.memory import forget_peak, peak_bytes, resident_bytes
from rl.bench.sync import save_model
from rl.config import LearnerConfig, RunConfig
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import start_process_group, stop_process_group
from rollout.config import VllmConfig
from rollout.transfer import NamedTensors

MB = 1e6
RETURNING = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""Environment in which glibc gives back every block of 64 KiB or more when it is freed."""
BUCKET_BYTES = VllmConfig().sync_bucket_mib * 2**20
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One model on some ranks; bytes that each rank has at rest, and that publishing adds."""

    num_ranks: int
    model_bytes: int
    rest: list[int]
    added: list[int]

    @property
    def text(self) -> str:
        rest, added = ([f"{value / MB:.0f}" for value in side] for side in (self.rest, self.added))
        return (
            f"{self.num_ranks} ranks, model {self.model_bytes / MB:.0f} MB, shard "
            f"{self.model_bytes / self.num_ranks / MB:.0f} MB: at rest {' '.join(rest)} MB, "
            f"publishing adds {' '.join(added)} MB"
        )


class Reader:
    """A transfer that looks at every tensor and keeps none."""

    def start(self) -> bool:
        return False

    def send(self, bucket: NamedTensors) -> None:
        for _, tensor in bucket:
            assert tensor.isfinite().all()

    def turn_to_drafter(self) -> None: ...

    def finish(self, version: int) -> None: ...


def main() -> None:
    asked = parser().parse_args()
    if asked.child:
        publish(Path(asked.child))
        return
    rows = [measured(ranks, layers) for ranks in asked.ranks for layers in asked.layers]
    sys.stdout.write("\n".join([*(row.text for row in rows), fitted(rows)]) + "\n")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 4, 17])
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser


def measured(num_ranks: int, num_layers: int) -> Row:
    """Publishes a model of `num_layers` from `num_ranks` processes; raises when one fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = save_model(folder, num_layers)
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={num_ranks}", __file__, "--child", name]
        environment = os.environ | RETURNING | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        subprocess.run(command, env=environment, check=True)
        found = [
            json.loads((folder / f"rank_{rank}.json").read_text()) for rank in range(num_ranks)
        ]
    return Row(
        num_ranks=num_ranks,
        model_bytes=sum(parameter.nbytes for parameter in model.parameters()),
        rest=[rest for rest, _ in found],
        added=[added for _, added in found],
    )


def publish(folder: Path) -> None:
    """One rank: loads the model in `folder`, publishes it, and writes what that took."""
    torch.set_num_threads(1)
    ranks = start_process_group()
    before = resident_bytes()
    config = RunConfig(
        model=ModelConfig(path=str(folder), dtype="float32"),
        algorithm=GrpoConfig(),
        learner=LearnerConfig(zero_stage=3),
    )
    learner = DeepSpeedLearner(config, str(folder), ranks)
    rest = resident_bytes()
    forget_peak()
    learner.publish(Reader() if ranks.is_first else None, 1)
    found = [rest - before, peak_bytes() - rest]
    (folder / f"rank_{ranks.rank}.json").write_text(json.dumps(found))
    stop_process_group()


def fitted(rows: Sequence[Row]) -> str:
    """The least-squares line of what publishing adds to the worst rank, over the model's size.

    A model that is smaller than a bucket is left out: it is a bucket by itself.
    """
    larger = [row for row in rows if row.model_bytes > BUCKET_BYTES]
    sizes = [row.model_bytes / MB for row in larger]
    slope, intercept = linear_regression(sizes, [max(row.added) / MB for row in larger])
    return f"fitted: publishing adds {intercept:.0f} MB + {slope:.3f} x model"


if __name__ == "__main__":
    main()
