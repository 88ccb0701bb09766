import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.sampler import PromptSampler
from data.types import Prompt


def prompts(num_prompts):
    return [Prompt(id=f"p{i}", messages=(), token_ids=[1], answer="7") for i in range(num_prompts)]


def ids(drawn):
    return [prompt.id for prompt in drawn]


def test_an_epoch_draws_every_prompt_once():
    sampler = PromptSampler(prompts(10), seed=0)
    first, second = ids(sampler.draw(10)), ids(sampler.draw(10))
    assert sorted(first) == sorted(second) == sorted(ids(prompts(10)))
    assert first != second != ids(prompts(10))


def test_a_draw_may_end_one_epoch_and_begin_the_next():
    sampler = PromptSampler(prompts(4), seed=0)
    drawn = ids(sampler.draw(10))
    assert sorted(drawn[:4]) == sorted(drawn[4:8]) == ["p0", "p1", "p2", "p3"]
    assert sampler.epoch == 2.5


def test_the_order_depends_on_the_seed_alone():
    assert ids(PromptSampler(prompts(20), 3).draw(50)) == ids(
        PromptSampler(prompts(20), 3).draw(50)
    )
    assert ids(PromptSampler(prompts(20), 3).draw(20)) != ids(
        PromptSampler(prompts(20), 4).draw(20)
    )


@given(
    num_prompts=st.integers(1, 12),
    seed=st.integers(0, 2**32),
    before=st.integers(0, 40),
    after=st.lists(st.integers(0, 9), max_size=5),
)
def test_a_resumed_sampler_draws_what_the_original_draws(num_prompts, seed, before, after):
    original = PromptSampler(prompts(num_prompts), seed)
    original.draw(before)
    resumed = PromptSampler(prompts(num_prompts), seed=0)
    resumed.load(json.loads(json.dumps(original.state())))
    for n in after:
        assert ids(resumed.draw(n)) == ids(original.draw(n))


def test_prompts_given_back_are_drawn_first_and_once():
    original = PromptSampler(prompts(6), seed=1)
    drawn = ids(original.draw(4))
    resumed = PromptSampler(prompts(6), seed=0)
    resumed.load(original.state(given_back=drawn[1:]))
    assert ids(resumed.draw(2)) == drawn[1:3]
    assert resumed.state()["given_back"] == drawn[3:]
    assert ids(resumed.draw(3)) == [drawn[3], *ids(original.draw(2))]
    assert resumed.state() == original.state()


def test_other_data_than_the_checkpoints_are_refused():
    state = PromptSampler(prompts(4), seed=0).state()
    with pytest.raises(ValueError, match=r"other data \(4 prompts, .*; here 5 prompts, "):
        PromptSampler(prompts(5), seed=0).load(state)


def test_no_prompts_are_refused():
    with pytest.raises(ValueError, match=r"no prompts to draw from: check data\.path"):
        PromptSampler([], seed=0)
