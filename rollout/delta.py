"""Patches from one version of a tensor to the next: the words that changed, and a checksum.

sender: `patch(name, old, new)`, by comparing bytes -> receiver: `patched(old, patch)`, which is
`new` bit by bit or a `PatchError`. Both keep the version before: of a sharded learner each rank its
shard. No transfer uses patches: vLLM keeps its weights packed, so that its workers would need a
second copy of the model to apply them to.
"""

import zlib
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Words: TypeAlias = NDArray[np.unsignedinteger]
"""The bits of a tensor [N], one unsigned integer per entry: uint16 for bfloat16."""


class PatchError(ValueError):
    """What a patch gives is not what its sender has; the message names the tensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """`changed` [ceil(N / 8)] has a bit per word; `words` are the new ones where it is set.

    `checksum` is the CRC-32 of all N new words, which no flip of one or two bits leaves as it was.
    """

    name: str
    changed: NDArray[np.uint8]
    words: Words
    checksum: int

    @property
    def num_bytes(self) -> int:
        """Never more than the whole tensor and an eighth of a byte per word."""
        return self.changed.nbytes + self.words.nbytes


def patch(name: str, old: Words, new: Words) -> Patch:
    """What makes `new` [N] of `old` [N]; compares bits, so that 0 and -0 differ and a NaN equals
    itself."""
    changed = old != new
    return Patch(
        name=name, changed=np.packbits(changed), words=new[changed], checksum=checksum(new)
    )


def patched(old: Words, patch: Patch) -> Words:
    """`new` of `patch(name, old, new)`; `old` stays as it is.

    Raises `PatchError` when `old`, or the patch, is not what it was at the sender.
    """
    changed = np.unpackbits(patch.changed, count=len(old)).view(np.bool_)
    if len(patch.changed) != -(-len(old) // 8) or changed.sum() != len(patch.words):
        raise PatchError(
            f"{patch.name}: a patch of {len(patch.words)} words does not fit a tensor of "
            f"{len(old)}; send it whole"
        )
    new = old.copy()
    new[changed] = patch.words
    if checksum(new) != patch.checksum:
        raise PatchError(
            f"{patch.name}: checksum {checksum(new):08x} instead of {patch.checksum:08x} after the "
            "patch; send it whole"
        )
    return new


def checksum(words: Words) -> int:
    """CRC-32 of the bytes."""
    return zlib.crc32(np.ascontiguousarray(words).data)
