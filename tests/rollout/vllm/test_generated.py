import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import Finish, Prompt, Span
from rollout.engine import EngineError, Sampling
from rollout.vllm.generated import Lots, request_body

PROMPT = Prompt(id="p", messages=(), token_ids=[5, 6], answer="")
SAMPLING = Sampling(id="r", limit=9, temperature=0.7, top_p=0.9, seed=3, priority=2)


def line(token_ids, logprobs, text="", **last):
    content = [{"token": "?", "logprob": each, "rank": 1} for each in logprobs]
    choice = {"index": 0, "token_ids": token_ids, "text": text, "logprobs": {"content": content}}
    return b"data: " + json.dumps({"request_id": "r", "choices": [{**choice, **last}]}).encode()


def test_a_request_carries_ids_limit_seed_and_priority():
    assert request_body(PROMPT, SAMPLING) == {
        "request_id": "r",
        "token_ids": [5, 6],
        "sampling_params": {
            "max_tokens": 9, "temperature": 0.7, "top_p": 0.9, "seed": 3, "logprobs": 0,
        },
        "priority": 2,
        "output_mode": "text",
        "stream": True,
    }  # fmt: skip


def test_lots_become_one_completion_with_the_versions_of_its_tokens():
    lots = Lots()
    versions = [{"version": "4", "start": 0, "end": 2}, {"version": "5", "start": 2, "end": 3}]
    assert lots.add(line([7, 8], [-0.5, -0.25], "so ")) == 2
    assert lots.add(b"\n") == 0
    assert not lots.finish
    assert lots.add(line([9], [-1.0], "7", finish_reason="stop", weight_versions=versions)) == 1
    assert lots.add(b"data: [DONE]\n") == 0
    completion = lots.completion(SAMPLING, 5)
    assert (completion.id, completion.text, completion.limit) == ("r", "so 7", 9)
    assert completion.token_ids.tolist() == [7, 8, 9]
    assert completion.logprobs.tolist() == [-0.5, -0.25, -1.0]
    assert completion.finish is Finish.STOP
    assert completion.spans == (
        Span(start=0, stop=2, weight_version=4),
        Span(start=2, stop=3, weight_version=5),
    )


def test_one_that_was_aborted_before_its_first_token_is_empty():
    lots = Lots()
    lots.add(line([], [], finish_reason="abort"))
    completion = lots.completion(SAMPLING, 5)
    assert completion.finish is Finish.ABORTED
    assert completion.spans == (Span(start=0, stop=0, weight_version=5),)


def test_an_error_in_place_of_a_lot_is_raised():
    with pytest.raises(EngineError, match="no room"):
        Lots().add(b'data: {"error": {"message": "no room", "code": 500}}')


def test_an_unknown_finish_is_an_error():
    lots = Lots()
    lots.add(line([1], [-1.0], finish_reason="error"))
    with pytest.raises(EngineError, match="finish_reason=error"):
        lots.completion(SAMPLING, 0)


@given(st.floats(max_value=0.0, allow_infinity=False, allow_nan=False, width=32))
def test_log_probs_are_exact(logprob):
    lots = Lots()
    lots.add(line([1], [logprob], finish_reason="stop"))
    assert lots.completion(SAMPLING, 0).logprobs[0] == np.float32(logprob)
