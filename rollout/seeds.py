"""Seeds that follow from a seed and a name: neighbouring seeds would give correlated draws."""

from hashlib import blake2b


def derived_seed(seed: int, *names: object) -> int:
    """A seed in [0, 2^31): BLAKE2b of `seed` and `names`, whose texts a slash separates."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "little") >> 1
