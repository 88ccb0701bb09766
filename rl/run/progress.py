"""What a run prints: a line per step, a bar below it on a terminal, a table at the end.

The same lines go to a plain log, where there is no bar.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from rl.evaluate.evaluation import Evaluation, aes, paired_change
from rl.evaluate.formulas import AES_WEIGHTS, bootstrap_interval

COLUMNS = (
    ("accuracy", "accuracy", "6.3f"),
    ("completions/mean_length", "tokens", "7.1f"),
    ("reward", "reward", "7.3f"),
    ("grad_norm", "grad", "8.3g"),
    ("step_time", "s/step", "6.2f"),
)
"""Metric, its name on the line, its format."""

PLAIN_LOG_WIDTH = 100


class RunProgress:
    """Prints a run as it goes; silent when `enabled` is false."""

    def __init__(
        self,
        num_steps: int,
        first_step: int = 0,
        *,
        enabled: bool = True,
        console: Console | None = None,
    ) -> None:
        """`first_step` steps of `num_steps` are already done (a resumed run)."""
        self._console = console or Console(highlight=False, quiet=not enabled)
        if not self._console.is_terminal:
            self._console.width = PLAIN_LOG_WIDTH
        self._num_steps = num_steps
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            refresh_per_second=2,
            disable=not enabled or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=num_steps, completed=first_step)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        """One line of plain words."""
        self._print(Text(text))

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """The line of one finished step."""
        self._print(Text(step_line(step, self._num_steps, metrics)))
        self._bar.update(self._task, completed=step)

    def evaluation(self, name: str, evaluation: Evaluation) -> None:
        """The line of one evaluation, with its 95 % interval over problems."""
        self._print(Text(evaluation_line(name, evaluation)))

    def table(self, base: Evaluation, final: Evaluation) -> None:
        """The comparison at the end."""
        self._bar.stop()
        self._print(Text())
        self._print(comparison_table(base, final))
        self._print(Text(comparison_line(base, final)))

    def _print(self, what: Text | Table) -> None:
        self._console.print(what, soft_wrap=isinstance(what, Text))


def step_line(step: int, num_steps: int, metrics: Mapping[str, float]) -> str:
    """`step 12/30  accuracy  0.912  tokens ...`; a metric that was not logged shows as `-`."""
    width = len(str(num_steps))
    cells = [
        f"{label} {format(metrics[name], spec) if name in metrics else '-':>{spec.split('.')[0]}}"
        for name, label, spec in COLUMNS
    ]
    return "  ".join([f"step {step:>{width}}/{num_steps}", *cells])


def evaluation_line(name: str, evaluation: Evaluation) -> str:
    """Sampled accuracy and tokens of one evaluation."""
    low, high = bootstrap_interval(
        [value for value in evaluation.problem_accuracies if value == value]
    )
    failures = evaluation.grader_failures
    return (
        f"{name}: accuracy {evaluation.accuracy:.3f} [{low:.3f}, {high:.3f}], "
        f"{evaluation.response_tokens:.1f} tokens, {evaluation.truncated:.1%} truncated"
        + (f", {failures} without a verdict (grader failed)" if failures else "")
    )


def comparison_table(base: Evaluation, final: Evaluation) -> Table:
    """Accuracy and response tokens before and after: sampled, greedy, and by difficulty level."""
    table = Table(
        title=f"Held-out: {final.num_problems} problems, {final.samples_per_problem} samples each",
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=None,
        padding=(0, 1),
    )
    table.add_column("")
    for heading in ("accuracy before", "after", "change", "tokens before", "after", "ratio"):
        table.add_column(heading, justify="right")
    table.add_row(
        f"sampled, T={final.temperature:g}",
        *_cells(base.accuracy, final.accuracy, base.response_tokens, final.response_tokens),
    )
    if final.greedy and base.greedy:
        table.add_row(
            "greedy",
            *_cells(
                base.accuracy_greedy,
                final.accuracy_greedy,
                base.response_tokens_greedy,
                final.response_tokens_greedy,
            ),
        )
    before, after = base.by_level(), final.by_level()
    for level in after:
        old, new = before[level], after[level]
        table.add_row(
            f"level {level}",
            *_cells(old.accuracy, new.accuracy, old.response_tokens, new.response_tokens),
        )
    return table


def comparison_line(base: Evaluation, final: Evaluation) -> str:
    """The change with its paired 95 % interval over problems, and AES with its weights."""
    change, low, high = paired_change(final, base, lambda e: e.problem_accuracies)
    score = aes(final, base)
    weights = "/".join(f"{weight:g}" for weight in AES_WEIGHTS)
    return (
        f"accuracy {change:+.3f} [{low:+.3f}, {high:+.3f}] (95 %, paired over problems), "
        f"tokens x{final.response_tokens / base.response_tokens:.2f}"
        + (f", AES {score:+.2f} (weights {weights})" if score is not None else "")
    )


def _cells(
    old_accuracy: float | None,
    new_accuracy: float | None,
    old_tokens: float | None,
    new_tokens: float | None,
) -> list[str]:
    accuracy = [_number(old_accuracy, ".3f"), _number(new_accuracy, ".3f"), "-"]
    if old_accuracy is not None and new_accuracy is not None:
        accuracy[2] = _number(new_accuracy - old_accuracy, "+.3f")
    tokens = [_number(old_tokens, ".1f"), _number(new_tokens, ".1f"), "-"]
    if old_tokens is not None and new_tokens is not None:
        tokens[2] = _number(new_tokens / old_tokens, ".2f")
    return accuracy + tokens


def _number(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)
