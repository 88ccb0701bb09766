"""What `laconic doctor` finds: one line each, with the mend for what does not work."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

MIB, GIB = 2**20, 2**30
NAME_WIDTH = 13


class State(Enum):
    ok = "ok"
    warn = "warn"
    """Something is missing that the quickstart does not need."""
    fail = "fail"
    """The quickstart cannot run."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it stands, and what to do unless all is well."""

    name: str
    state: State
    what: str
    mend: str = ""


def good(name: str, what: str) -> Finding:
    return Finding(name, State.ok, what)


def warning(name: str, what: str, mend: str) -> Finding:
    return Finding(name, State.warn, what, mend)


def failure(name: str, what: str, mend: str) -> Finding:
    return Finding(name, State.fail, what, mend)


def line(finding: Finding) -> str:
    """One line of the report."""
    head = f"{finding.state.value:<4}  {finding.name:<{NAME_WIDTH}}  {finding.what}"
    return f"{head}; {finding.mend}" if finding.mend else head


def verdict(findings: Sequence[Finding]) -> str:
    """The last line: whether the quickstart can run, or what to mend first."""
    failed = [finding.name for finding in findings if finding.state is State.fail]
    if failed:
        return f"the quickstart cannot run here: mend {', '.join(failed)}"
    return "the quickstart can run here: torchrun recipes/quickstart.yaml"


def runs(findings: Sequence[Finding]) -> bool:
    """Whether the quickstart can run."""
    return all(finding.state is not State.fail for finding in findings)


def amount(size: float) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"
