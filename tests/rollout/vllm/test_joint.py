from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.rollout.vllm.joint import Joint

END = 2


NEXT = {7: (0.5, 0.5, 0.0), 0: (0.0, 0.75, 0.25), 1: (0.0, 1.0, 0.0)}


class LastTokenDecides:
    """After 7 the next token is 0 or 1 evenly; after 0 it is 1 or the end, 3 to 1; after 1, 1."""

    config = SimpleNamespace(eos_token_id=END)

    def __call__(self, rows):
        chosen = [[NEXT[token] for token in row] for row in rows.tolist()]
        return SimpleNamespace(logits=torch.tensor(chosen).log())


def joint():
    return Joint(LastTokenDecides(), prefix=(7,), depth=2, temperature=1.0)


def test_texts_have_the_product_of_their_tokens_and_may_end_early():
    assert joint().texts == pytest.approx({(0, END): 0.125, (0, 1): 0.375, (1, 1): 0.5})
    np.testing.assert_allclose(joint().probabilities, [0.125, 0.375, 0.5, 0.0], atol=1e-6)


def test_completions_are_counted_by_their_beginning():
    counts = joint().counts([(0, 1, 1), (0, END), (0, 1), (1, 0, 0)])
    assert dict(zip([*joint().texts, "rest"], counts.tolist(), strict=True)) == {
        (0, END): 1,
        (0, 1): 2,
        (1, 1): 0,
        "rest": 1,
    }


def test_temperature_flattens():
    flat = Joint(LastTokenDecides(), prefix=(0,), depth=1, temperature=2.0)
    # sqrt 0.75 against sqrt 0.25
    np.testing.assert_allclose(flat.texts[(1,)], 3**0.5 / (1 + 3**0.5), rtol=1e-6)


def test_drafts_follow_the_likeliest_or_the_least_likely_token():
    likely, unlikely = dict(joint().drafts(True, 2)), dict(joint().drafts(False, 2))
    assert likely[(7, 0)] == [1] and likely[(7,)] == [0, 1]
    assert unlikely[(7,)] == [2]
