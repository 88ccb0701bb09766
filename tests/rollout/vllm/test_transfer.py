import torch
from hypothesis import given
from hypothesis import strategies as st

from rollout.vllm.transfer import ALIGNMENT, chunks, dtype_name, layout

SIZES = st.lists(st.integers(1, 400), min_size=1, max_size=20)


def named(sizes):
    return [(f"w{i}", torch.zeros(size, dtype=torch.bfloat16)) for i, size in enumerate(sizes)]


def test_tensors_lie_at_aligned_offsets():
    offsets, num_bytes = layout([torch.zeros(3), torch.zeros(16), torch.zeros(1)])
    assert offsets == [0, 64, 128] and num_bytes == 192


@given(SIZES)
def test_tensors_do_not_overlap(sizes):
    tensors = [tensor for _, tensor in named(sizes)]
    offsets, num_bytes = layout(tensors)
    ends = [offset + tensor.nbytes for offset, tensor in zip(offsets, tensors, strict=True)]
    assert all(end <= start for end, start in zip(ends, [*offsets[1:], num_bytes], strict=True))
    assert all(offset % ALIGNMENT == 0 for offset in offsets)


@given(SIZES, st.integers(64, 1000))
def test_chunks_keep_order_and_size_and_only_a_large_tensor_is_larger(sizes, max_bytes):
    bucket = named(sizes)
    parts = list(chunks(bucket, max_bytes))
    assert [name for part in parts for name, _ in part] == [name for name, _ in bucket]
    for part in parts:
        assert len(part) == 1 or layout([tensor for _, tensor in part])[1] <= max_bytes


def test_an_empty_bucket_has_no_chunks():
    assert list(chunks([], 64)) == []


def test_dtypes_are_named_as_vllm_names_them():
    assert dtype_name(torch.zeros(1, dtype=torch.bfloat16)) == "bfloat16"
