"""A right response and a wrong one with the values of T-PPO's golden vectors."""

from typing import Any

import numpy as np

from rl.algorithms.actor_critic import Responses

VALUES = np.array([[0.2, 0.5, 0.4, 0.6], [0.2, 0.5, 0.4, 0.6]])
ALL = np.ones((2, 4), np.bool_)
RIGHT = np.array([0.6636, 0.404, 0.56, 0.4])
"""Advantages of the right response with lambda 0.9."""


def responses(**changed: Any) -> Responses:
    found: dict[str, Any] = {
        "rewards": np.array([1.0, 0.0]),
        "values": VALUES,
        "after": np.array([9.0, 9.0]),
        "sampled": ALL,
        "trained": ALL,
        "finished": np.array([True, True]),
        "lengths": np.array([4.0, 4.0]),
    }
    return Responses(**found | changed)
