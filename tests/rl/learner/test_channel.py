import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.learner.batch import Row
from rl.learner.channel import Channel, Work, pack, unpack
from rl.learner.process_group import Ranks


def row(prompt: int, response: int, seed: int) -> Row:
    random = np.random.default_rng(seed)
    return Row(
        token_ids=random.integers(0, 1000, prompt + response).astype(np.int32),
        prompt_length=prompt,
        mask=random.integers(0, 2, response).astype(np.bool_),
        sampler_logprobs=random.normal(size=response).astype(np.float32),
        advantages=random.normal(size=response).astype(np.float32),
        ages=random.integers(0, 9, response).astype(np.int32),
        weight=float(np.float32(random.random())),
        group=seed,
        held=np.flatnonzero(random.integers(0, 2, response)).astype(np.int32),
        right=np.flatnonzero(random.integers(0, 2, response)).astype(np.int32),
        right_weight=float(np.float32(random.random())),
    )


ROWS = st.builds(row, st.integers(1, 5), st.integers(0, 6), st.integers(0, 99))
WORK = st.lists(st.lists(st.lists(ROWS, max_size=3), max_size=3), max_size=3)


def same(ours: Row, theirs: Row) -> bool:
    arrays = ("token_ids", "mask", "sampler_logprobs", "advantages", "ages", "held", "right")
    scalars = ("prompt_length", "weight", "group", "right_weight")
    return all(np.array_equal(getattr(ours, n), getattr(theirs, n)) for n in arrays) and all(
        getattr(ours, name) == getattr(theirs, name) for name in scalars
    )


@given(WORK)
def test_rows_survive_packing(work: Work) -> None:
    back = unpack(pack(work, Row), Row)
    assert [[len(micro) for micro in minibatch] for minibatch in back] == [
        [len(micro) for micro in minibatch] for minibatch in work
    ]
    ours = [row for minibatch in back for micro in minibatch for row in micro]
    theirs = [row for minibatch in work for micro in minibatch for row in micro]
    assert all(same(a, b) for a, b in zip(ours, theirs, strict=True))


def test_mask_and_types_come_back_as_they_were() -> None:
    ((back,),) = unpack(pack([[[row(2, 3, 0)]]], Row), Row)[0]
    assert back.mask.dtype == np.bool_
    assert back.token_ids.dtype == np.int32
    assert back.advantages.dtype == np.float32


def test_one_rank_needs_no_process_group() -> None:
    ranks = Ranks(rank=0, world_size=1, local_rank=0, device=torch.device("cpu"))
    channel = Channel(ranks, None)
    channel.announce({"name": "update"})
    work = [[[row(2, 3, 0)]]]
    assert channel.scatter([work], Row) is work
    (values,) = channel.gather(np.array([1.0], dtype=np.float32))
    assert values.tolist() == [1.0]
    channel.meet()
