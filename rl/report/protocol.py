"""Which runs may be compared: those whose models answered the same problems in the same way."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from rl.report.run import ReportedRun
from rl.run.record import NOT_HASHED, published_config

Protocol = Mapping[str, str]
"""How a run was evaluated, setting by setting; empty for a run that was not."""


def protocol(run: ReportedRun) -> Protocol:
    """What two runs must share to be compared; a run that was never evaluated has no protocol."""
    if not run.stages:
        return {}
    evaluation = run.stages[0][1].evaluation
    prompts = [row[0].prompt for row in evaluation.sampled]
    names = "\n".join(sorted(prompt.id for prompt in prompts))
    budgets = {prompt.budget.kind.value if prompt.budget else "none" for prompt in prompts}
    return {
        "lab version": str(run.summary("lab_version") or "not recorded") if run.finished else "",
        "problems": f"{len(prompts)} ({blake2b(names.encode(), digest_size=4).hexdigest()})",
        "samples per problem": str(evaluation.samples_per_problem),
        "temperature": f"{evaluation.temperature:g}",
        "limit in tokens": str(evaluation.limit),
        "budget phrase": ", ".join(sorted(budgets)),
    }


def comparable(runs: Sequence[ReportedRun]) -> list[list[ReportedRun]]:
    """The evaluated runs, those that may be compared together; in the order given."""
    classes: list[list[ReportedRun]] = []
    for run in runs:
        if not run.stages:
            continue
        for each in classes:
            if not differing(run, each[0]):
                each.append(run)
                break
        else:
            classes.append([run])
    return classes


def differing(run: ReportedRun, other: ReportedRun) -> list[str]:
    """Settings, as `name: ours, theirs`, that keep two evaluated runs from being compared.

    A run that has not ended does not say which lab it is on; its problems do.
    """
    ours, theirs = protocol(run), protocol(other)
    return [
        f"{name}: {value}, {theirs[name]}"
        for name, value in ours.items()
        if value != theirs[name] and value and theirs[name]
    ]


def differing_options(runs: Sequence[ReportedRun]) -> dict[str, list[str]]:
    """Leaves of the resolved recipes that are not the same in all runs: name to value per run."""
    leaves = [_leaves(published_config(run.record.config)) for run in runs]
    names = dict.fromkeys(name for each in leaves for name in each)
    found = {name: [each.get(name, "-") for each in leaves] for name in names}
    return {name: values for name, values in found.items() if len(set(values)) > 1}


def chosen(run: ReportedRun) -> dict[str, str]:
    """The option of each group of the run's recipe."""
    return _chosen(run.record.config.get("defaults", ()))


def _chosen(defaults: Iterable[Any]) -> dict[str, str]:
    mappings = (each for each in defaults if isinstance(each, Mapping))
    return {group: str(option) for each in mappings for group, option in each.items()}


def _leaves(config: Mapping[str, Any], above: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in config.items():
        name = f"{above}{key}"
        if name in NOT_HASHED:
            continue
        if name == "defaults":
            found |= _chosen(value)
        elif isinstance(value, Mapping):
            found |= _leaves(value, f"{name}.")
        else:
            found[name] = str(value)
    return found
