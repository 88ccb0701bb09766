"""Where the engines are: what `rollout.placement` comes to on a machine, and the GPUs it means."""

from rollout.config import Placement


def resolved(placement: Placement, num_learners: int, num_gpus: int) -> Placement:
    """`placement`; `auto` takes the GPUs that `num_learners` leave, or else shares theirs."""
    if placement is not Placement.auto:
        return placement
    if not num_gpus:
        return Placement.cpu
    return Placement.separate if num_gpus > num_learners else Placement.shared


def engine_gpus(placement: Placement, devices: int, num_learners: int, num_gpus: int) -> list[int]:
    """GPUs of the engines by index: learners have the first ones, one each.

    `separate` takes `devices` of the others, 0 for all of them, `shared` the learners' own.
    """
    if placement is Placement.separate:
        return list(range(num_learners, num_learners + (devices or num_gpus - num_learners)))
    return list(range(num_learners)) if placement is Placement.shared else []
