"""Publishing: the learner's weights to the engines, bucket by bucket, without what cannot differ.

start -> engines that hold the last publication get the layers that train, if the optimizer moved
them since; new ones, and all of them at every anchor, get everything -> the same for the draft
model that learns, if there is one -> finish.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist

from rl.learner.statistics import reduced
from rl.learner.weights import Weight, whole_weights
from rollout.transfer import Transfer, layer_of


class Publisher:
    """Sends weights to the engines, which it knows to hold what it sent before; on every rank.

    Each version that `anchor_versions` divides is sent whole, so that an engine whose memory is not
    what was sent does not stay so.
    """

    def __init__(
        self,
        weights: Sequence[Weight],
        bucket_bytes: int,
        anchor_versions: int,
        *,
        partitioned: bool,
        device: torch.device,
        drafter: Sequence[Weight] = (),
    ) -> None:
        self._weights = list(weights)
        self._drafter = list(drafter)
        self._bucket_bytes = bucket_bytes
        self._anchor_versions = anchor_versions
        self._partitioned = partitioned
        self._device = device
        self._sent_before = False
        self._moved = True

    def moved(self) -> None:
        """The weights that train are not those of the last publication."""
        self._moved = True

    def __call__(self, transfer: Transfer | None, version: int) -> dict[str, float]:
        """Collective; only rank 0 has a `transfer`. Returns metrics.

        No more than a bucket exists beside the weights themselves. A cycle that fails is left
        open: the engines must not resume on half of the weights.
        """
        held = transfer.start() if transfer is not None else False
        whole = not (self._sent_before and self._known_to_all(held))
        whole = whole or version % self._anchor_versions == 0
        sent = self._send(transfer, to_send(self._weights, whole, self._moved))
        if drafts := to_send(self._drafter, whole, self._moved):
            if transfer is not None:
                transfer.turn_to_drafter()
            sent = [a + b for a, b in zip(sent, self._send(transfer, drafts), strict=True)]
        if transfer is not None:
            transfer.finish(version)
        self._sent_before, self._moved = True, False
        return dict(zip(("sync/tensors", "sync/bytes"), map(float, sent), strict=True))

    def _send(self, transfer: Transfer | None, weights: list[Weight]) -> list[int]:
        """Sends `weights` bucket by bucket; returns how many tensors and bytes they are."""
        num_tensors = num_bytes = 0
        for bucket in whole_weights(weights, self._bucket_bytes, self._partitioned):
            if transfer is not None:
                transfer.send(bucket)
            num_tensors += len(bucket)
            num_bytes += sum(tensor.nbytes for _, tensor in bucket)
        return [num_tensors, num_bytes]

    def _known_to_all(self, held: bool) -> bool:
        """What rank 0 heard from its transfer: every rank must go through the same buckets."""
        return reduced([float(held)], dist.ReduceOp.MAX, self._device) == [1.0]


def to_send(weights: Sequence[Weight], whole: bool, moved: bool) -> list[Weight]:
    """What an engine lacks: all, or the layers with a weight that trains, or nothing.

    `whole` is for an engine that does not hold the last publication; `moved` says whether the
    weights that train have changed since. A layer is sent as a whole (`layer_of`).
    """
    if whole:
        return list(weights)
    if not moved:
        return []
    trained = {layer_of(weight.name) for weight in weights if weight.trains}
    return [weight for weight in weights if layer_of(weight.name) in trained]
