import math

import pytest

from rl.algorithms.config import (
    A3poConfig,
    CorrectionConfig,
    GeometricConfig,
    IcePopConfig,
    K3Config,
    OpsmConfig,
    SequenceMaskedConfig,
    SequenceTruncatedConfig,
    TruncatedConfig,
)


@pytest.mark.parametrize(
    ("config", "defaults"),
    [
        (CorrectionConfig(), {}),
        (TruncatedConfig(), {"cap": 2.0}),
        (IcePopConfig(), {"lowest": 0.5, "highest": 5.0}),
        (SequenceTruncatedConfig(), {"cap": 2.0}),
        (SequenceMaskedConfig(), {"lowest": 0.5, "highest": 2.0}),
        (GeometricConfig(), {"cap": 2.0, "lowest": 0.999, "highest": 1.001}),
        (K3Config(), {"cap": 2.0, "highest": 0.01}),
        (OpsmConfig(), {"cap": 2.0, "highest": 0.5}),
        (A3poConfig(), {"cap": 2.0}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_defaults_are_those_of_verl_and_trl_and_are_allowed(
    config: CorrectionConfig, defaults: dict[str, float]
) -> None:
    assert vars(config) == defaults
    assert config.problems() == []


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (TruncatedConfig(cap=0.5), "correction.cap=0.5: set it to 1 or more"),
        (SequenceTruncatedConfig(cap=0.5), "correction.cap=0.5: set it to 1 or more"),
        (A3poConfig(cap=math.nan), "correction.cap=nan: set it to 1 or more"),
        (IcePopConfig(lowest=1.5), "correction.lowest=1.5, correction.highest=5.0: "),
        (IcePopConfig(lowest=-0.5), "correction.lowest=-0.5, correction.highest=5.0: "),
        (SequenceMaskedConfig(highest=0.9), "correction.lowest=0.5, correction.highest=0.9: "),
        (GeometricConfig(highest=0.5), "correction.lowest=0.999, correction.highest=0.5: "),
        (GeometricConfig(cap=0.5), "correction.cap=0.5: "),
        (K3Config(highest=-1.0), "correction.highest=-1.0: set it to 0 or more"),
        (K3Config(cap=0.5), "correction.cap=0.5: "),
        (OpsmConfig(highest=math.nan), "correction.highest=nan: set it to 0 or more"),
        (OpsmConfig(cap=0.5), "correction.cap=0.5: "),
    ],
)
def test_a_bound_that_would_refuse_the_policy_itself_is_refused(
    config: CorrectionConfig, problem: str
) -> None:
    [found] = config.problems()
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "config",
    [
        TruncatedConfig(cap=1.0),
        IcePopConfig(lowest=0.0, highest=1.0),
        SequenceMaskedConfig(lowest=1.0),
        K3Config(highest=0.0),
    ],
)
def test_the_widest_and_the_narrowest_bounds_are_allowed(config: CorrectionConfig) -> None:
    assert config.problems() == []
