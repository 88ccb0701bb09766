"""Options of the `correction` group; imports nothing heavy."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class CorrectionConfig:
    """Base of the `correction` group, and `none`: tokens are not weighed by how they were sampled.

    What corrects for engines that differ from the learner and for weights that have changed since.
    rho is the probability at the start of the update over the sampler's.
    """

    def problems(self) -> list[str]:
        return []


@dataclass(kw_only=True)
class TruncatedConfig(CorrectionConfig):
    """Truncated importance sampling: a token weighs min(rho, cap)."""

    cap: float = 2.0
    """Largest weight of a token."""

    def problems(self) -> list[str]:
        return cap_problems(self.cap)


@dataclass(kw_only=True)
class BandConfig(CorrectionConfig):
    """Base of the masks: what lies within [lowest, highest] is trained on."""

    lowest: float
    highest: float

    def problems(self) -> list[str]:
        return band_problems(self.lowest, self.highest)


@dataclass(kw_only=True)
class IcePopConfig(BandConfig):
    """IcePop: a token weighs rho, and nothing outside the band."""

    lowest: float = 0.5
    highest: float = 5.0


@dataclass(kw_only=True)
class SequenceTruncatedConfig(CorrectionConfig):
    """Every token weighs min(product of the rho of its response, cap)."""

    cap: float = 2.0

    def problems(self) -> list[str]:
        return cap_problems(self.cap)


@dataclass(kw_only=True)
class SequenceMaskedConfig(BandConfig):
    """Every token weighs the product of the rho of its response, and nothing outside the band."""

    lowest: float = 0.5
    highest: float = 2.0


@dataclass(kw_only=True)
class GeometricConfig(TruncatedConfig):
    """As `truncated`, and responses whose geometric mean of rho is outside the band are masked."""

    lowest: float = 0.999
    highest: float = 1.001

    def problems(self) -> list[str]:
        return super().problems() + band_problems(self.lowest, self.highest)


@dataclass(kw_only=True)
class K3Config(TruncatedConfig):
    """As `truncated`, and responses whose mean of rho - 1 - log rho is above the bound are masked.

    That mean estimates KL(sampler, policy), by tokens that the sampler drew.
    """

    highest: float = 0.01

    def problems(self) -> list[str]:
        return super().problems() + bound_problems(self.highest)


@dataclass(kw_only=True)
class OpsmConfig(TruncatedConfig):
    """As `truncated`; responses to avoid that the policy has left are masked (DeepSeek-V3.2)."""

    highest: float = 0.5
    """Mean log-prob per token, sampler's less policy's, beyond which a response of negative
    advantage is masked. The paper states no value; TRL's documentation suggests this one."""

    def problems(self) -> list[str]:
        return super().problems() + bound_problems(self.highest)


@dataclass(kw_only=True)
class A3poConfig(TruncatedConfig):
    """As `truncated`, around a proximal policy interpolated by the age of each token (A-3PO).

    No forward pass at the start of the update is needed for it.
    """


def cap_problems(cap: float) -> list[str]:
    return [] if cap >= 1 else [f"correction.cap={cap}: set it to 1 or more"]


def band_problems(lowest: float, highest: float) -> list[str]:
    """What is wrong with the band of a ratio that is 1 where sampler and policy agree."""
    if 0 <= lowest <= 1 <= highest:
        return []
    return [
        f"correction.lowest={lowest}, correction.highest={highest}: a sampler that is the policy "
        "has the ratio 1; set 0 <= lowest <= 1 <= highest"
    ]


def bound_problems(highest: float) -> list[str]:
    return [] if highest >= 0 else [f"correction.highest={highest}: set it to 0 or more"]
