"""Logistic regression with a prior: damped Newton on a weighted, ridge-penalised likelihood."""

import numpy as np

from rollout.drafting.step_cost import Floats

MOST_ITERATIONS = 30
TOLERANCE = 1e-8
LARGEST_LOG_ODDS = 30.0
"""Beyond it a probability is 0 or 1 in float64 and its logarithm would not be finite."""


def sigmoid(log_odds: Floats) -> Floats:
    """1 / (1 + exp(-x))."""
    bounded = np.clip(log_odds, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
    return np.asarray(1 / (1 + np.exp(-bounded)))


def penalised_loss(
    coefficients: Floats,
    features: Floats,
    outcomes: Floats,
    weights: Floats,
    prior: Floats,
    ridge: float,
) -> float:
    """-sum_i w_i log P(y_i) + ridge / 2 |theta - prior|^2; y in {0, 1} [N]."""
    p = sigmoid(features @ coefficients)
    log_likelihood = outcomes * np.log(p) + (1 - outcomes) * np.log1p(-p)
    distance = coefficients - prior
    return float(-weights @ log_likelihood + 0.5 * ridge * distance @ distance)


def fitted(
    features: Floats,
    outcomes: Floats,
    weights: Floats,
    prior: Floats,
    ridge: float,
) -> Floats:
    """The coefficients [F] of the smallest `penalised_loss`, by Newton steps from the prior.

    A step that does not lower the loss is halved; the loss is strictly convex, so this ends at its
    one minimum.
    """
    theta = prior
    loss = penalised_loss(theta, features, outcomes, weights, prior, ridge)
    for _ in range(MOST_ITERATIONS):
        p = sigmoid(features @ theta)
        gradient = features.T @ (weights * (outcomes - p)) - ridge * (theta - prior)
        curvature = (features.T * (weights * p * (1 - p))) @ features
        step = np.linalg.solve(curvature + ridge * np.eye(len(prior)), gradient)
        while np.abs(step).max() > TOLERANCE:
            lower = penalised_loss(theta + step, features, outcomes, weights, prior, ridge)
            if lower < loss:
                break
            step = step / 2
        else:
            return theta
        theta, loss = theta + step, lower
    return theta
