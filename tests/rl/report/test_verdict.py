from dataclasses import replace

import pytest

from rl.evaluate.comparison import Comparison
from rl.evaluate.figures import Estimate
from rl.report.verdict import verdict

CHANGE = Comparison(
    num_problems=9, base={}, change={}, token_ratio=Estimate(0.5, 0.4, 0.6), aes=None
)
SHORTER, SAME, LONGER = (0.4, 0.6), (0.9, 1.1), (1.2, 1.4)


@pytest.mark.parametrize(
    ("tokens", "accuracy", "kind", "words"),
    [
        (SHORTER, (0.01, 0.05), "good", "Shorter and more accurate"),
        (SHORTER, (-0.01, 0.05), "good", "Shorter, accuracy kept within a point"),
        (SHORTER, (-0.02, 0.05), "open", "Shorter; too few problems to tell"),
        (SHORTER, (-0.05, -0.02), "mixed", "Shorter, but less accurate"),
        (SHORTER, (-0.009, -0.001), "good", "Shorter, accuracy kept within a point"),
        (SAME, (0.01, 0.05), "mixed", "More accurate, but not shorter"),
        (LONGER, (0.01, 0.05), "mixed", "More accurate, but longer"),
        (SAME, (-0.01, 0.05), "bad", "Not shorter, and not more accurate"),
        (LONGER, (-0.05, -0.01), "bad", "Longer, and not more accurate"),
        ((0.9, 1.0), (0.01, 0.05), "mixed", "More accurate, but not shorter"),
    ],
)
def test_a_claim_holds_for_the_whole_interval(
    tokens: tuple[float, float], accuracy: tuple[float, float], kind: str, words: str
) -> None:
    ratio = Estimate(sum(tokens) / 2, *tokens)
    change = {"accuracy": Estimate(sum(accuracy) / 2, *accuracy)}
    found = verdict(replace(CHANGE, token_ratio=ratio, change=change))
    assert found.kind == kind and found.words.startswith(words)
