"""Value types to bytes and back: msgpack, never pickle.

Arrays travel as their raw little-endian bytes; the field's type says how to read them.
"""

from typing import Any, TypeVar

import msgspec
import numpy as np

from data.types import LogProbs, TokenIds

T = TypeVar("T")

_DTYPES: dict[Any, str] = {TokenIds: "<i4", LogProbs: "<f4"}


def encode(value: object) -> bytes:
    """msgpack bytes of a value type, or of lists, tuples and dicts of them."""
    return _ENCODER.encode(value)


def decode(payload: bytes, kind: type[T]) -> T:
    """The value of type `kind` in `payload`; raises `msgspec.ValidationError` on any mismatch."""
    return msgspec.msgpack.decode(payload, type=kind, dec_hook=_read_array)


def _array_bytes(value: object) -> bytes:
    if isinstance(value, np.ndarray):
        return value.tobytes()
    raise TypeError(f"{type(value).__name__} cannot be sent; send value types, numbers and strings")


def _read_array(kind: Any, value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview) and kind is np.ndarray:
        raise TypeError("arrays are declared as TokenIds or LogProbs")
    return np.frombuffer(value, dtype=_DTYPES[kind])


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_array_bytes)
