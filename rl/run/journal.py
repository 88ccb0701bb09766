"""What every finished step and evaluation leaves behind: files, tracker, progress, checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rl.config import LogConfig
from rl.evaluate.evaluation import Evaluation, aes, evaluation_metrics
from rl.run.completions import shown_rows, trained_rows, write_completions, write_evaluation
from rl.run.folder import append_metrics
from rl.run.guards import Watch
from rl.run.history import append_history
from rl.run.loop import Step
from rl.run.progress import RunProgress
from rl.run.rollout_metrics import (
    draft_metrics,
    engine_metrics,
    prompt_metrics,
    rollout_metrics,
    time_metrics,
)
from rl.run.stopwatch import seconds_of
from rl.run.timeline import learner_activities, write_timeline
from rl.run.tracker import Tracker
from rollout.books import Fate, FateRecord
from rollout.drafting.acceptance import Acceptance
from rollout.prompt_tokens import PromptTokens
from rollout.watched import Stretch

FATE_METRICS = {fate: f"stream/{fate.value}" for fate in Fate} | {
    Fate.GRADER_FAILED: "reward/failed"
}


@dataclass(slots=True, kw_only=True)
class Journal:
    """Writes a run down."""

    folder: Path
    tracker: Tracker
    progress: RunProgress
    log: LogConfig
    watch: Watch
    base: Evaluation | None = None
    num_tokens: float = 0.0
    """Prompt and sampled tokens since the start of the run; part of a checkpoint."""
    judging_seconds: Callable[[], float] = lambda: 0.0
    """Seconds that the verifier's processes have judged since the start."""
    engine_stretch: Callable[[], Stretch] = lambda: Stretch(start=0.0, end=0.0)
    """What the engine ran for training since the last call."""
    drafts: Callable[[], Acceptance] = Acceptance
    """What became of drafts since the last call."""
    prompts: Callable[[], PromptTokens] = PromptTokens
    """The prompts that the engine answered since the last call."""
    _judged_seconds: float = 0.0
    _wasted_tokens: float = 0.0
    _seen: dict[Fate, int] = field(default_factory=dict)
    _history: list[dict[str, Any]] = field(default_factory=list)

    def fate(self, record: FateRecord) -> None:
        """Keeps one line of history.jsonl for the next `flush`."""
        if record.fate is not Fate.TRAINED:
            self._wasted_tokens += record.tokens
        row = asdict(record)
        row["prompt"] = row.pop("prompt_id")
        self._history.append(row)

    def flush(self) -> None:
        """Writes the fates heard of so far; called with every step and when the stream closes."""
        append_history(self.folder, self._history)
        self._history.clear()

    def step(self, step: Step, fates: Mapping[Fate, int]) -> None:
        """Logs one update; `fates` counts the stream's completions since it began."""
        metrics = rollout_metrics(step.groups, step.scores, step.advantages, step.index - 1)
        metrics |= step.metrics
        metrics |= time_metrics(seconds_of(step.spans), metrics["step_tokens"])
        stretch = self.engine_stretch()
        _, began, _ = step.spans[0]
        metrics |= engine_metrics(stretch.activities, began, stretch.end)
        metrics |= self._new_fates(fates)
        metrics["stream/wasted_tokens"], self._wasted_tokens = self._wasted_tokens, 0.0
        metrics["time/judge"] = self._new_judging_seconds()
        metrics |= draft_metrics(self.drafts())
        metrics |= prompt_metrics(self.prompts())
        self.num_tokens += metrics["step_tokens"] + sum(
            len(group.prompt.token_ids) * len(group.completions) for group in step.groups
        )
        metrics["num_tokens"] = self.num_tokens
        metrics |= self.watch(step.index, metrics)
        append_metrics(self.folder, step.index, metrics)
        write_completions(
            self.folder,
            step.index,
            step.groups,
            step.verdicts,
            step.scores,
            step.advantages,
            self.log.completions_per_step,
        )
        write_timeline(
            self.folder, [*stretch.activities, *learner_activities(step.spans, step.index)]
        )
        self.flush()
        self.tracker.log(step.index, metrics)
        self._table(step)
        self.progress.step(step.index, metrics)
        for alarm in self.watch.news:
            self.progress.note(alarm.message)

    def evaluation(
        self,
        name: str,
        step: int,
        evaluation: Evaluation,
        seconds: float,
        caps: Sequence[int] = (),
    ) -> None:
        """Logs one evaluation; the first one is the base that later ones are compared with."""
        metrics = evaluation_metrics(evaluation, caps) | {"time/evaluate": seconds}
        score = aes(evaluation, self.base) if self.base else None
        if score is not None:
            metrics["eval/aes"] = score
        self.base = self.base or evaluation
        append_metrics(self.folder, step, metrics)
        write_evaluation(self.folder, step, evaluation)
        # What is judged, idle, drafted or asked during an evaluation is not the next step's.
        self._new_judging_seconds()
        self.engine_stretch()
        self.drafts()
        self.prompts()
        self.tracker.log(step, metrics)
        self.tracker.table(
            step, "eval/completions", shown_rows(step, evaluation, self.log.table_rows)
        )
        self.progress.evaluation(name, evaluation)

    def _table(self, step: Step) -> None:
        """Training completions as a table, when it is time."""
        every = self.log.table_every_steps
        if every and step.index % every == 0:
            rows = trained_rows(
                step.index, step.groups, step.verdicts, step.scores, step.advantages
            )
            self.tracker.table(step.index, "completions", rows[: self.log.table_rows])

    def _new_fates(self, totals: Mapping[Fate, int]) -> dict[str, float]:
        """Completions that met each fate since the previous step."""
        new = {fate: total - self._seen.get(fate, 0) for fate, total in totals.items()}
        self._seen = dict(totals)
        return {FATE_METRICS[fate]: float(count) for fate, count in new.items()}

    def _new_judging_seconds(self) -> float:
        before, self._judged_seconds = self._judged_seconds, self.judging_seconds()
        return self._judged_seconds - before
