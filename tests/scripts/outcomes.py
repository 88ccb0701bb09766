import numpy as np

from rl.evaluate.outcomes import Outcomes


def outcomes(accuracies: list[float]) -> Outcomes:
    """Ten samples of each problem, as many of them right."""
    correct = np.array([[float(k < 10 * a) for k in range(10)] for a in accuracies])
    return Outcomes(
        problems=tuple(f"p{number}" for number in range(len(accuracies))),
        levels=(None,) * len(accuracies),
        correct=correct,
        tokens=np.ones_like(correct),
        truncated=np.zeros(correct.shape, bool),
    )
