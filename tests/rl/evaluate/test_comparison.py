import pytest

from rl.evaluate.comparison import compare
from tests.rl.evaluate.samples import outcomes

BASE = {"a": [(10, True), (10, True)], "b": [(20, True), (20, False)], "c": [(9, None), (9, None)]}
SHORTER = {"b": [(5, True), (5, True)], "a": [(5, True), (5, True)], "d": [(5, False), (5, False)]}


def test_a_comparison_by_hand() -> None:
    """Shared and graded: a and b. Accuracy 0.75 to 1, tokens 15 to 5."""
    found = compare(outcomes(SHORTER), outcomes(BASE))
    assert found.num_problems == 2
    assert found.base["accuracy"].value == 0.75
    assert found.change["accuracy"].value == 0.25
    assert found.change["response_tokens"].value == -10.0
    assert found.change["tokens_per_correct"].value == pytest.approx(5 - 20)
    assert found.token_ratio.value == pytest.approx(1 / 3)
    assert found.aes is not None
    assert found.aes.value == pytest.approx(2 / 3 + 3 * (0.25 / 0.75))


def test_a_loss_weighs_five_times() -> None:
    found = compare(outcomes({"a": [(5, True), (5, False)]}), outcomes({"a": BASE["a"]}))
    assert found.aes is not None
    assert found.aes.value == pytest.approx(0.5 - 5 * 0.5)


def test_pairing_cancels_what_makes_problems_hard() -> None:
    """Every problem loses exactly one token: the change is known, although lengths vary widely."""
    long = {f"p{n}": [(10 * n + 10, n % 2 == 0)] for n in range(20)}
    short = {name: [(tokens - 1, right)] for name, [(tokens, right)] in long.items()}
    change = compare(outcomes(short), outcomes(long)).change
    assert (change["response_tokens"].low, change["response_tokens"].high) == (-1.0, -1.0)
    assert (change["accuracy"].low, change["accuracy"].high) == (0.0, 0.0)


def test_a_model_against_itself_changes_nothing() -> None:
    found = compare(outcomes(BASE), outcomes(BASE))
    assert {figure.value for figure in found.change.values()} == {0.0}
    assert found.aes is not None and found.aes.value == 0.0


def test_against_a_base_that_solves_nothing_there_is_no_aes() -> None:
    assert compare(outcomes(SHORTER), outcomes({"a": [(3, False), (3, False)]})).aes is None


def test_other_problems_are_refused() -> None:
    with pytest.raises(ValueError, match=r"none of the 3 problems is among the base's 1"):
        compare(outcomes(SHORTER), outcomes({"x": [(3, True), (3, True)]}))
