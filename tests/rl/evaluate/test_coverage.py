"""How often a 95 % interval holds the truth, over simulated evaluations whose truth is known.

A problem has its own chance of a right answer and its own mean length, both drawn anew for every
data set; hard problems take longer. A base answers the same problems worse and longer.
"""

from collections import Counter

import numpy as np
import pytest

from rl.evaluate.comparison import Comparison, compare
from rl.evaluate.figures import Estimate
from rl.evaluate.formulas import accuracy_efficiency_score, bootstrap_interval
from rl.evaluate.outcomes import Outcomes

SAMPLES = 4
CAP = 600.0
DATA_SETS = 500


def chances(random: np.random.Generator, num_problems: int) -> tuple[np.ndarray, np.ndarray]:
    """Chance of a right answer and mean length of each problem [P]."""
    right = random.beta(4.0, 1.0, num_problems)
    return right, 100.0 * np.exp(1.0 - right + 0.3 * random.normal(size=num_problems))


def simulated(
    random: np.random.Generator, right: np.ndarray, length: np.ndarray, samples: int = SAMPLES
) -> Outcomes:
    size = (len(right), samples)
    tokens = np.ceil(length[:, None] * random.exponential(size=size))
    return Outcomes(
        problems=tuple(map(str, range(len(right)))),
        levels=(None,) * len(right),
        correct=(random.random(size) < right[:, None]).astype(float),
        tokens=np.minimum(tokens, CAP),
        truncated=tokens >= CAP,
    )


def worse(right: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The base's chances on the same problems."""
    return 0.9 * right, 1.5 * length


def truths() -> dict[str, float]:
    """The base's figures on a data set without end, and the changes to them."""
    random = np.random.default_rng(0)
    right, length = chances(random, 1_000_000)
    old_right, old_length = worse(right, length)
    old = simulated(random, old_right, old_length, samples=1)
    tokens = simulated(random, right, length, samples=1).tokens.mean()
    old_tokens, accuracy = old.tokens.mean(), old_right.mean()
    return {
        "accuracy": accuracy,
        "pass@2": (1 - (1 - old_right) ** 2).mean(),
        "pass@4": (1 - (1 - old_right) ** 4).mean(),
        "response_tokens": old_tokens,
        "tokens_per_correct": old_tokens / accuracy,
        "truncated": old.truncated.mean(),
        "accuracy change": right.mean() - accuracy,
        "token ratio": tokens / old_tokens,
        "aes": accuracy_efficiency_score(right.mean(), tokens, accuracy, old_tokens),
    }


def test_95_of_100_intervals_hold_the_true_accuracy() -> None:
    random = np.random.default_rng(1)
    held = 0
    for _ in range(DATA_SETS):
        right, _ = chances(random, 120)
        accuracies = random.binomial(SAMPLES, right) / SAMPLES
        low, high = bootstrap_interval(accuracies, num_resamples=400)
        held += low <= 0.8 <= high
    assert 0.93 <= held / DATA_SETS <= 0.97


@pytest.mark.long
@pytest.mark.parametrize(
    ("num_problems", "too_short"),
    [(30, {"pass@2", "pass@4", "truncated"}), (100, {"pass@4"}), (300, set())],
)
def test_intervals_of_every_figure_hold_the_truth(num_problems: int, too_short: set[str]) -> None:
    """Where fewer than ten problems decide a share (0.02 of 100), its interval is too short."""
    random = np.random.default_rng(2)
    held: Counter[str] = Counter()
    truth = truths()
    for _ in range(DATA_SETS):
        right, length = chances(random, num_problems)
        new, old = simulated(random, right, length), simulated(random, *worse(right, length))
        estimates = estimated(compare(new, old))
        held.update(
            name for name, at in truth.items() if estimates[name].low <= at <= estimates[name].high
        )
    shares = {name: held[name] / DATA_SETS for name in truth}
    for name, share in shares.items():
        assert (share < 0.93) if name in too_short else (0.93 <= share <= 0.97), (name, shares)


def estimated(found: Comparison) -> dict[str, Estimate]:
    """The estimates of what `truths` names."""
    assert found.aes is not None
    return found.base | {
        "accuracy change": found.change["accuracy"],
        "token ratio": found.token_ratio,
        "aes": found.aes,
    }
