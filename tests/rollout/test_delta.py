import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rollout.delta import PatchError, checksum, patch, patched

WORDS = arrays(np.uint16, st.integers(1, 40))


def test_worked_example():
    """The second and the ninth of nine words change: bits 01000000 10000000."""
    old = np.arange(9, dtype=np.uint16)
    new = old.copy()
    new[[1, 8]] = 7, 70
    found = patch("w", old, new)
    assert found.changed.tolist() == [0b01000000, 0b10000000]
    assert found.words.tolist() == [7, 70] and found.num_bytes == 2 + 4
    assert patched(old, found).tolist() == [0, 7, 2, 3, 4, 5, 6, 7, 70]
    assert old.tolist() == list(range(9))


def test_checksum_is_crc_32():
    """The check value of CRC-32: "123456789" gives cbf43926."""
    assert checksum(np.frombuffer(b"123456789", np.uint8)) == 0xCBF43926


@given(st.data())
def test_patched_is_the_new_version_bit_by_bit(data):
    old = data.draw(WORDS)
    new = data.draw(arrays(np.uint16, len(old)))
    found = patch("w", old, new)
    assert np.array_equal(patched(old, found), new)
    assert found.num_bytes <= new.nbytes + -(-len(new) // 8)


def test_signs_of_zero_and_kinds_of_nan_are_kept():
    old = np.array([0.0, np.nan, 1.0], np.float32).view(np.uint32)
    new = np.array([-0.0, np.nan, 1.0], np.float32).view(np.uint32)
    found = patch("w", old, new)
    assert found.words.tolist() == [0x80000000]
    assert np.array_equal(patched(old, found), new)


@given(st.data())
def test_one_flipped_bit_is_caught_by_name(data):
    """In a word that the receiver keeps, in a new word, or in the map of changes."""
    old = data.draw(WORDS)
    new = data.draw(arrays(np.uint16, len(old)).filter(lambda new: not np.array_equal(new, old)))
    found = patch("model.norm.weight", old, new)
    kept = np.flatnonzero(old == new)
    where = data.draw(st.sampled_from(["words", "changed", *(["old"] if len(kept) else [])]))
    if where == "old":
        old = flipped(data, old, 16 * kept[:, None] + np.arange(16))
    else:
        # Bits of the map behind the last word say nothing.
        bits = len(old) if where == "changed" else 16 * len(found.words)
        field = flipped(data, getattr(found, where), np.arange(bits))
        found = dataclasses.replace(found, **{where: field})
    with pytest.raises(PatchError, match=r"^model\.norm\.weight: "):
        patched(old, found)


def flipped(data, words, bits):
    """A copy of `words` with one of `bits`, counted from the first byte's highest, flipped."""
    flags = np.unpackbits(words.view(np.uint8))
    flags[data.draw(st.sampled_from(bits.flatten().tolist()))] ^= 1
    return np.packbits(flags).view(words.dtype)


def test_a_patch_of_another_tensor_is_refused():
    words = np.zeros(9, np.uint16)
    with pytest.raises(PatchError, match="does not fit a tensor of 99; send it whole"):
        patched(np.zeros(99, np.uint16), patch("w", words, words))


def test_200_optimizer_steps_in_patches_equal_the_whole_weights_bit_by_bit():
    """bfloat16 weights of a float32 optimizer at rate 1e-6, with a whole version every 50."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Linear(64, 8))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    inputs = torch.randn(32, 64)
    held = {name: words(parameter) for name, parameter in model.named_parameters()}
    sent, num_bytes = dict(held), 0
    for step in range(1, 201):
        model(inputs).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        new = {name: words(parameter) for name, parameter in model.named_parameters()}
        for name in new:
            found = patch(name, sent[name], new[name])
            held[name] = new[name] if step % 50 == 0 else patched(held[name], found)
            num_bytes += found.num_bytes
        sent = new
        assert all(np.array_equal(held[name], new[name]) for name in new)
    whole = 200 * sum(value.nbytes for value in sent.values())
    assert num_bytes < 0.12 * whole


def words(parameter):
    """The bits of `parameter` in bfloat16, a copy."""
    return parameter.detach().flatten().bfloat16().view(torch.uint16).numpy().copy()
