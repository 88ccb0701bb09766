"""What failed, by name: fates of completions, how they ended, why evaluated answers were wrong."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from data.types import Finish
from rl.evaluate.evaluation import Evaluation, Judged
from rl.report.run import ReportedRun
from rollout.books import Fate

MOST_NAMES = 12
"""Kinds of failure that are listed of one place; the rest are added up."""

FATES: Mapping[Fate, str] = {
    Fate.UNIFORM: "dropped: every reward of the group ties",
    Fate.GRADER_FAILED: "left its group: the grader failed",
    Fate.TOO_FEW: "dropped: alone in its group",
    Fate.STALE: "dropped: a token is older than the staleness bound",
    Fate.LOST: "lost with its engine, sampled again",
}
ENDS: Mapping[Finish, str] = {
    Finish.LIMIT: "cut off at the limit",
    Finish.REPETITION: "ended as a loop",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """`count` of `total` completions of one place met it."""

    where: str
    name: str
    count: int
    total: int


class _Line(msgspec.Struct, frozen=True):
    """What is read of a line of history.jsonl."""

    fate: Fate
    finish: Finish | None


def failures(run: ReportedRun) -> list[Failure]:
    """Training first, then the evaluations; the most frequent first."""
    found = training_failures(run.record.folder / "history.jsonl")
    for heading, stage in run.stages:
        found += evaluation_failures(f"evaluation {heading}", stage.evaluation)
    return found


def training_failures(history: Path) -> list[Failure]:
    """Fates other than being trained, and ends other than stopping, of all completions asked for.

    Raises ValueError when a line is not what a run writes.
    """
    names: Counter[str] = Counter()
    total = 0
    for line in _read(history):
        total += 1
        if line.fate is not Fate.TRAINED:
            names[FATES.get(line.fate, line.fate.value.replace("_", " "))] += 1
        if line.finish is not None and line.finish in ENDS:
            names[ENDS[line.finish]] += 1
    return _listed("training", names, total)


def evaluation_failures(where: str, evaluation: Evaluation) -> list[Failure]:
    """Why sampled answers were not right."""
    names = Counter(_name(j) for j in evaluation.judged if not j.verdict.correct)
    return _listed(where, names, len(evaluation.judged))


def _name(judged: Judged) -> str:
    if judged.verdict.correct is None:
        return f"no verdict, the grader failed: {judged.verdict.reason or 'no reason given'}"
    if judged.completion.finish in ENDS:
        return f"wrong, {ENDS[judged.completion.finish]}"
    return f"wrong: {judged.verdict.reason}" if judged.verdict.reason else "wrong answer"


def _listed(where: str, names: Counter[str], total: int) -> list[Failure]:
    common = names.most_common(MOST_NAMES)
    if rest := names.total() - sum(count for _, count in common):
        common.append(("other", rest))
    return [Failure(where, name, count, total) for name, count in common]


def _read(history: Path) -> Iterable[_Line]:
    """The ended lines of the file; none without one."""
    if not history.is_file():
        return
    decoder = msgspec.json.Decoder(_Line)
    with history.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError as error:
                raise ValueError(
                    f"{history}, line {number}, is not what a run writes ({error}); "
                    "restore the file"
                ) from error
