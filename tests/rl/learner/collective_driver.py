"""Every command of a learner group, alone or under torchrun; writes what a test can compare.

python collective_driver.py MODEL RECORDING FOLDER OPTIONS     (options as for replay_driver.py)
"""

from pathlib import Path
from typing import Any

from replay_driver import drive_in_folder
from torch import Tensor

from rl.learner.ranks import LearnerGroup
from rollout.transfer import NamedTensors


class Kept:
    """A transfer into a dict of copies, which keeps what is not sent again."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.buckets: list[int] = []
        self.version: int | None = None

    def start(self) -> bool:
        return self.version is not None

    def send(self, bucket: NamedTensors) -> None:
        self.buckets.append(sum(tensor.nbytes for _, tensor in bucket))
        self.tensors |= {name: tensor.clone() for name, tensor in bucket}

    def finish(self, version: int) -> None:
        self.version = version


def norm(name: str, tensor: Tensor) -> Tensor:
    return tensor.double().norm()


def exercise(group: LearnerGroup, steps: Any, folder: Path) -> dict[str, Any]:
    rows = [row for minibatch in steps[0] for row in minibatch]
    transfer = Kept()
    group.update(steps[0])
    whole = group.publish(transfer, 5)
    group.save(folder / "checkpoint")
    group.export(folder / "saved")
    straight = group.update(steps[1])
    group.load(folder / "checkpoint")
    group.load_generators(folder / "checkpoint")
    resumed = group.update(steps[1])
    changed = group.publish(transfer, 6)
    unchanged = group.publish(transfer, 7)
    norms = group.fingerprints(norm)
    group.export(folder / "export")
    return {
        "straight": straight,
        "resumed": resumed,
        "version": transfer.version,
        "buckets": transfer.buckets,
        "num_sent": [sent["sync/tensors"] for sent in (whole, changed, unchanged)],
        "published": {name: norm(name, tensor).item() for name, tensor in transfer.tensors.items()},
        "fingerprints": {name: value.item() for name, value in norms.items()},
        "logprobs": [array.tolist() for array in group.logprobs(rows)],
        "rows": [[row.token_ids.tolist(), row.prompt_length] for row in rows],
    }


if __name__ == "__main__":
    drive_in_folder(exercise)
