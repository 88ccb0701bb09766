"""Run folders with everything that a report shows, made by the project's own writers."""

from functools import partial
from pathlib import Path

from data.types import Completion, Finish, Group, Score, Verdict
from rl.report.run import ReportedRun, read_reported
from rl.run.completions import write_completions
from rl.run.folder import append_metrics
from rl.run.history import append_history
from rl.run.timeline import write_timeline
from rollout.timeline import LEARNER, Activity, Kind
from tests.rl.builders import completion, group
from tests.rl.run_folders import write_run

HOSTILE = (
    "</pre></script><script>document.title='owned'</script><img src=x onerror=\"document.title="
    "'owned'\"><style>body{display:none}</style>{{ 7 * 7 }} \x00\x1b[31m &amp; 4"
)
"""A completion that would take over a page that trusts it."""

TIMES = {"time/rollout": 2.0, "time/score": 0.5, "time/learn": 1.0, "time/sync": 0.25}


def reported(folder: Path, name: str = "run", *, finished: bool = True) -> ReportedRun:
    """`write_trained` at `folder / name`, read again."""
    write_trained(folder / name, finished=finished)
    return read_reported(folder / name, name)


def write_trained(
    folder: Path, *, finished: bool = True, texts: tuple[str, str] = ("4", "no")
) -> Path:
    """`write_run` with three logged steps, the last one alarmed, and completions of two of them."""
    write_run(folder, finished=finished)
    for step in (1, 2, 3):
        metrics = {"loss": 0.5 / step, "entropy": 0.4 / step, "accuracy": 0.5, "grad_norm": 0.1}
        alarm = {"guards/zero_variance": float(step == 3), "guards/non_finite": 0.0}
        append_metrics(folder, step, {**metrics, **TIMES, "step_time": 4.0, **alarm})
    for step in (1, 3):
        groups = [_group(step, "a", *texts), _group(step, "b", *texts)]
        verdicts = [[Verdict(correct=True), Verdict(correct=False, reason="no box")]] * 2
        scores = [[_score(1.0, -0.25), _score(0.0, 0.0)]] * 2
        write_completions(folder, step, groups, verdicts, scores, [[1.0, -1.0]] * 2, max_rows=64)
    engine = partial(Activity, kind=Kind.GENERATE, lane="engine")
    write_timeline(
        folder,
        [
            engine(name="2/a/0", start=7.0, end=8.0),
            engine(name="2/b/0", start=7.0, end=9.0),
            Activity(kind=Kind.LEARN, lane=LEARNER, name="step 3", start=9.5, end=11.0),
        ],
    )
    append_history(
        folder,
        [
            _fate("0/a/0", "stop", "trained"),
            _fate("0/a/1", "limit", "trained"),
            _fate("0/b/0", "stop", "dropped_uniform"),
            _fate("0/b/1", "stop", "dropped_uniform"),
            _fate("0/c/0", None, "lost_with_engine"),
        ],
    )
    return folder


def _group(step: int, name: str, *texts: str) -> Group:
    completions: list[Completion] = [
        completion(f"{step - 1}/{name}/{index}", 4 * (index + 1), Finish.STOP, text)
        for index, text in enumerate(texts)
    ]
    return group(name, *completions)


def _score(correct: float, length: float) -> Score:
    parts = {"correct": correct, "length": length}
    return Score(correct=bool(correct), parts=parts, total=correct + length)


def _fate(name: str, finish: str | None, fate: str) -> dict[str, object]:
    return {"id": name, "prompt": "p", "step": 0, "versions": [0, 0] if finish else None,
            "finish": finish, "tokens": 0, "fate": fate}  # fmt: skip
