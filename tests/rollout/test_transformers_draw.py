"""The draw by hand on four tokens, and its frequencies."""

import pytest
import torch

from rollout.transformers_draw import draw, nucleus

CHANCES = torch.tensor([0.5, 0.25, 0.125, 0.125])


def drawn(uniform, temperature=1.0, top_p=1.0, chances=CHANCES):
    token, logprob = draw(
        chances.log()[None],
        torch.tensor([temperature]),
        torch.tensor([top_p]),
        torch.tensor([uniform], dtype=torch.float64),
    )
    return int(token), float(logprob.exp())


@pytest.mark.parametrize(
    ("uniform", "token"), [(0.0, 0), (0.49, 0), (0.51, 1), (0.74, 1), (0.8, 2), (0.99, 3)]
)
def test_token_is_where_the_cumulative_distribution_passes_the_number(uniform, token):
    assert drawn(uniform) == pytest.approx((token, float(CHANCES[token])))


def test_temperature_sharpens():
    """At 0.5 chances are squared: 16, 4, 1, 1 of 22."""
    assert drawn(0.0, temperature=0.5) == pytest.approx((0, 16 / 22))
    assert drawn(0.99, temperature=0.5) == pytest.approx((3, 1 / 22))


def test_nucleus_keeps_what_reaches_top_p_and_renormalises():
    """0.5 and 0.25 reach 0.75: they become 2/3 and 1/3."""
    assert drawn(0.99, top_p=0.75) == pytest.approx((1, 1 / 3))
    assert drawn(0.66, top_p=0.75) == pytest.approx((0, 2 / 3))
    assert drawn(0.99, top_p=1e-6) == pytest.approx((0, 1.0))


def test_temperature_0_takes_the_most_likely_with_certainty():
    assert drawn(0.99, temperature=0.0) == (0, 1.0)


def test_rows_do_not_depend_on_each_other():
    logits = torch.randn(50, 20, generator=torch.Generator().manual_seed(0))
    uniforms = torch.rand(50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    temperatures = torch.linspace(0, 2, 50)
    top_ps = torch.linspace(1, 0.5, 50)
    together = draw(logits, temperatures, top_ps, uniforms)
    for row in range(50):
        one = slice(row, row + 1)
        alone = draw(logits[one], temperatures[one], top_ps[one], uniforms[one])
        assert alone[0] == together[0][row]
        torch.testing.assert_close(alone[1][0], together[1][row])


def test_frequencies_are_the_chances():
    count = 20_000
    uniforms = torch.rand(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tokens, _ = draw(CHANCES.log().expand(count, 4), torch.ones(count), torch.ones(count), uniforms)
    found = tokens.bincount(minlength=4) / count
    torch.testing.assert_close(found, CHANCES, atol=0.01, rtol=0)


def test_token_outside_the_nucleus_is_never_drawn_even_at_the_ends():
    uniforms = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    logits = torch.tensor([[0.0, 5.0, 0.0]]).expand(2, 3)
    tokens, logprobs = draw(logits, torch.ones(2), torch.full((2,), 0.5), uniforms)
    assert tokens.tolist() == [1, 1] and logprobs.tolist() == [0.0, 0.0]


def test_nucleus_of_one_row_leaves_rows_of_top_p_1_whole():
    kept = nucleus(CHANCES.log().expand(2, 4), torch.tensor([0.5, 1.0])).isfinite()
    assert kept.tolist() == [[True, False, False, False], [True] * 4]
