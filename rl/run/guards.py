"""Guards: what the metrics of a run look like when it goes wrong, with likely cause and cure.

history of metrics -> `alarms` -> one message per alarm. Every guard is a pure function of the
history, so that a recorded `metrics.jsonl` can be judged as the run was. `Watch` keeps the history
of a running one.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev

from rl.run.config import GuardAction, GuardsConfig

Row = Mapping[str, float]
"""The metrics of one step, with its number under `step`."""

History = Sequence[Row]
"""The steps of a run in order, the newest last; never empty."""

REFERENCE_WINDOWS = 4
"""Windows whose best mean is the level that the accuracy is held to."""

FALSE_ALARMS = 0.01
"""Share of healthy runs, however long, in which chance may look like a fall of the accuracy."""

LOSS_AND_GRADIENT = ("loss", "grad_norm")
SKIPPED = ("skipped_updates", "critic/skipped_updates", "draft_model/skipped_updates")
RESTORED = "guards/restored_step"
K3_FRESH, K3_STALE = "sampling/k3_kl_fresh", "sampling/k3_kl_stale"

FEWEST_TO_SHIFT = 8
"""Steps before the window from which the usual gap of engine and learner is known."""

NEGLIGIBLE_K3 = 1e-6
"""Nats a token, a ten-thousandth of what `engine_mismatch` allows: rounding may grow tenfold."""

ACCEPTED_LENGTH, DRAFTS_OFF = (
    "vllm/train/draft_mean_acceptance_length",
    "vllm/train/draft_off_share",
)
MOST_OFF = 0.5
"""Share of the steps without drafts above which drafts that fail cost next to nothing."""


class GuardError(RuntimeError):
    """A guard ended the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a guard compares with: its threshold, and the steps that it averages over."""

    threshold: float
    window: int


Check = Callable[[History, Setting], str | None]
"""The figures of the alarm of a history's last step, or None when all is well."""


@dataclass(frozen=True, slots=True)
class Guard:
    check: Check
    cause: str
    cure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One guard's alarm at one step."""

    guard: str
    action: GuardAction
    message: str
    """Figures, likely cause, and the setting to change."""


def alarms(history: History, config: GuardsConfig) -> list[Alarm]:
    """The alarms of the last step of `history`."""
    found = []
    for name, options in config.named().items():
        setting = Setting(threshold=options.threshold, window=config.window)
        guard = GUARDS[name]
        if options.action is not GuardAction.ignore and (figures := guard.check(history, setting)):
            message = (
                f"guard {name}, step {history[-1]['step']:.0f}: {figures}. "
                f"Likely cause: {guard.cause}. Mend: {guard.cure} "
                f"(learner.learning_rate was {history[-1].get('learning_rate', math.nan):g}; "
                f"guards.{name} holds threshold and action)"
            )
            found.append(Alarm(guard=name, action=options.action, message=message))
    return found


def non_finite(history: History, setting: Setting) -> str | None:
    """More than `threshold` optimizer steps of the window had a bad loss or gradient.

    The learner leaves out a step whose gradient is not finite, so the weights are sound.
    """
    broken = sum(num_broken(row) for row in history[-setting.window :])
    if broken <= setting.threshold:
        return None
    values = ", ".join(f"{name} {history[-1].get(name, math.nan):g}" for name in LOSS_AND_GRADIENT)
    return (
        f"{values}; {broken:.0f} bad optimizer step(s) in the last {setting.window} steps (allowed "
        f"{setting.threshold:g}), left out where the gradient was not finite"
    )


def num_broken(row: Row) -> float:
    """Optimizer steps of one training step whose gradient or loss was not finite."""
    finite = all(math.isfinite(row.get(name, 0.0)) for name in LOSS_AND_GRADIENT)
    return max(*(row.get(name, 0.0) for name in SKIPPED), float(not finite))


def accuracy_fall(history: History, setting: Setting) -> str | None:
    """The window's accuracy a is below (1 - threshold) b, and by more than chance explains.

    b is the run's best mean over `REFERENCE_WINDOWS` windows before this one, or over all the
    steps before while they are fewer. Chance is sqrt(2 log(n^3 / FALSE_ALARMS)) standard errors of
    b - a at step n: a normal tail of FALSE_ALARMS / n^3, for b is the best of up to n windows, and
    the sum of 1 / n^2 over all steps is below 2.
    """
    if len(history) < 2:
        return None
    recent = history[1:][-setting.window :]
    earlier = history[: len(history) - len(recent)]
    span = min(len(earlier), REFERENCE_WINDOWS * setting.window)
    spans = [earlier[end - span : end] for end in range(span, len(earlier) + 1)]
    now, now_error = accuracy(recent)
    best, best_error = max(accuracy(rows) for rows in spans)
    num_errors = math.sqrt(2 * math.log(len(history) ** 3 / FALSE_ALARMS))
    chance = num_errors * math.hypot(now_error, best_error)
    if not (best - now > setting.threshold * best and best - now > chance):
        return None
    return (
        f"accuracy {now:.3f} over the last {len(recent)} steps, {1 - now / best:.0%} below the "
        f"{best:.3f} that the run had (allowed {setting.threshold:.0%})"
    )


def accuracy(rows: History) -> tuple[float, float]:
    """Mean accuracy of some steps and its standard error; the steps drew prompts of their own."""
    errors = column(rows, "accuracy/std_error")
    return mean(column(rows, "accuracy")), math.hypot(*errors) / len(errors)


def length_collapse(history: History, setting: Setting) -> str | None:
    """The window's mean length is below `threshold` of the first step's."""
    return share_of_first(history, setting, "completions/mean_length", "mean length")


def entropy_collapse(history: History, setting: Setting) -> str | None:
    """The window's mean entropy is below `threshold` of the first step's."""
    return share_of_first(history, setting, "entropy", "entropy")


def exploding_ratio(history: History, setting: Setting) -> str | None:
    """The largest importance ratio, mean over the window, is above `threshold`."""
    return above(history, setting, "ratio/max", "largest importance ratio")


def all_truncated(history: History, setting: Setting) -> str | None:
    """The share of groups without a completion that ended is above `threshold`."""
    name = "completions/frac_all_clipped"
    return above(history, setting, name, "share of groups whose every completion was cut off")


def zero_variance(history: History, setting: Setting) -> str | None:
    """The share of groups whose rewards all tie is above `threshold`."""
    return above(history, setting, "frac_reward_zero_std", "share of groups whose rewards all tie")


def engine_mismatch(history: History, setting: Setting) -> str | None:
    """k3 between engine and learner, where both have the same weights, is above `threshold`."""
    now = latest_mean(history, setting, K3_FRESH)
    if not now > setting.threshold:
        return None
    return (
        f"engine and learner differ by k3 {now:.3g} nats a token with the same weights, over the "
        f"last {setting.window} steps (allowed {setting.threshold:g})"
    )


def stale_policy(history: History, setting: Setting) -> str | None:
    """k3 over tokens of older weights, less k3 over those of the weights in force, is too large.

    k3 is half the mean square of small log-ratios, so what the engine and what training add to a
    log-ratio add up in it.
    """
    stale = latest_mean(history, setting, K3_STALE)
    fresh = latest_mean(history, setting, K3_FRESH)
    drift = stale - (0.0 if math.isnan(fresh) else fresh)
    if not drift > setting.threshold:
        return None
    engine = (
        "no token of the weights in force shows the engine's part"
        if math.isnan(fresh)
        else f"the engine's part, {fresh:.3g}, is taken off"
    )
    return (
        f"the policy has left its sampler by k3 {drift:.3g} nats a token of older weights, over "
        f"the last {setting.window} steps (allowed {setting.threshold:g}; {engine})"
    )


def mismatch_shift(history: History, setting: Setting) -> str | None:
    """The window's k3 of `engine_mismatch` is above m + threshold s of the steps before it.

    m and s are their mean and standard deviation, of at least `FEWEST_TO_SHIFT` steps.
    """
    values = [row[K3_FRESH] for row in history if K3_FRESH in row]
    earlier = values[: -setting.window]
    if len(earlier) < FEWEST_TO_SHIFT:
        return None
    now, usual, spread = mean(values[-setting.window :]), mean(earlier), stdev(earlier)
    if not now > max(usual + setting.threshold * spread, NEGLIGIBLE_K3):
        return None
    return (
        f"engine and learner differ by k3 {now:.3g} nats a token with the same weights, over the "
        f"last {setting.window} steps; it was {usual:.3g} +- {spread:.2g} in the {len(earlier)} "
        f"before (allowed {setting.threshold:g} standard deviations more)"
    )


def useless_drafts(history: History, setting: Setting) -> str | None:
    """Where there is a draft, a step of a completion gives fewer than `threshold` tokens.

    Asked while at most `MOST_OFF` of the steps of the window are without one: the controller turns
    drafts off that do not pay, and probes now and then.
    """
    off = latest_mean(history, setting, DRAFTS_OFF)
    if not off <= MOST_OFF:
        return None
    drafted = 1 + (latest_mean(history, setting, ACCEPTED_LENGTH) - 1) / (1 - off)
    if not drafted < setting.threshold:
        return None
    return (
        f"{drafted:.3g} tokens for a step of the engine where there is a draft, one of them "
        f"without its help, over the last {setting.window} steps (at least {setting.threshold:g})"
    )


def latest_mean(history: History, setting: Setting, name: str) -> float:
    """Mean of a column over the steps of the window that have it; NaN where none has."""
    values = [row[name] for row in history[-setting.window :] if name in row]
    return mean(values) if values and len(history) >= setting.window else math.nan


def above(history: History, setting: Setting, name: str, words: str) -> str | None:
    """Figures when the window's mean of a column is above the threshold."""
    now = window_mean(history, setting, name)
    if not now > setting.threshold:
        return None
    return f"{words} {now:.3g} over the last {setting.window} steps (allowed {setting.threshold:g})"


def share_of_first(history: History, setting: Setting, name: str, words: str) -> str | None:
    """Figures when the window's mean of a column is below the threshold times its first value.

    Steps that only warm a critic up have no values of the policy's columns.
    """
    now = window_mean(history, setting, name)
    first = next((row[name] for row in history if name in row), math.nan)
    if not now < setting.threshold * first:
        return None
    return (
        f"{words} {now:.3g} over the last {setting.window} steps, {now / first:.1%} of the first "
        f"step's {first:.3g} (allowed {setting.threshold:.1%})"
    )


def window_mean(history: History, setting: Setting, name: str) -> float:
    """Mean of a column over the window; NaN while the run is shorter or a value is missing."""
    if len(history) < setting.window:
        return math.nan
    return mean(column(history[-setting.window :], name))


def column(history: History, name: str) -> list[float]:
    return [row.get(name, math.nan) for row in history]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


GUARDS: dict[str, Guard] = {
    "non_finite": Guard(
        non_finite,
        "an overflow: too high a learning rate, or a reward that returned NaN or inf",
        "lower learner.learning_rate, look at the scores in completions/, or set "
        "model.dtype=float32",
    ),
    "accuracy_fall": Guard(
        accuracy_fall,
        "updates too large for the policy, or a length term that outweighs right answers",
        "lower learner.learning_rate, set gate=grpo_lambda or a smaller weight of the length term, "
        "or algorithm.kl_coefficient>0",
    ),
    "length_collapse": Guard(
        length_collapse,
        "answers without reasoning pay more than right answers",
        "lower the weight of the length term (reward.alpha) or set gate=grpo_lambda",
    ),
    "entropy_collapse": Guard(
        entropy_collapse,
        "a policy that has become certain, so that the completions of a group are alike",
        "raise algorithm.clip_high or algorithm.entropy_coefficient, lower learner.learning_rate, "
        "or end the run earlier",
    ),
    "exploding_ratio": Guard(
        exploding_ratio,
        "too many or too large optimizer steps on one batch of rollouts",
        "lower algorithm.num_minibatches or learner.learning_rate",
    ),
    "all_truncated": Guard(
        all_truncated,
        "a limit that is too short for this model, or completions that loop and never end",
        "raise limit.max_response_tokens, and read completions/ for loops",
    ),
    "zero_variance": Guard(
        zero_variance,
        "prompts that are all too easy or all too hard, or a run that has learned what it can",
        "set algorithm.dynamic_sampling=true, other data, a larger algorithm.group_size, or end "
        "the run earlier (num_steps)",
    ),
    "engine_mismatch": Guard(
        engine_mismatch,
        "another precision, kernel or sampling setting in the engine than in the learner, or "
        "weights that did not arrive",
        "set rollout.probe_tokens>0 to name the parameters that differ, and the same dtype on both "
        "sides; correction=icepop or geometric bounds the harm",
    ),
    "stale_policy": Guard(
        stale_policy,
        "weights that move far while their samples wait: large updates, or old tokens",
        "lower rollout.max_staleness or learner.learning_rate; correction=icepop, k3 or opsm masks "
        "what is too far off",
    ),
    "mismatch_shift": Guard(
        mismatch_shift,
        "an engine that has changed during the run: weights that did not arrive, another kernel, "
        "drafts that are verified wrongly",
        "compare with rollout.speculation=none, and set rollout.probe_tokens>0 to name the "
        "parameters that differ",
    ),
    "useless_drafts": Guard(
        useless_drafts,
        "drafts of another policy than the one that samples, or a history of other prompts",
        "set rollout.history.draft_length=0, which drafts where it pays, or "
        "rollout.speculation=none",
    ),
}


class Watch:
    """The guards of a running training: keeps its history and the alarms of the newest step."""

    def __init__(self, config: GuardsConfig, history: Iterable[Row] = ()) -> None:
        """`history` holds the rows of a resumed run up to its checkpoint."""
        self.alarms: list[Alarm] = []
        self.news: list[Alarm] = []
        """Those of `alarms` that the step before did not raise."""
        self.num_restores = 0
        self._config = config
        self._rows: list[Row] = []
        self._restored: dict[str, float] = {}
        for row in history:
            if RESTORED in row:
                self.restored(int(row[RESTORED]))
            self._rows.append(row)
        self._restored.clear()

    def __call__(self, step: int, metrics: Mapping[str, float]) -> dict[str, float]:
        """Adds a finished step; returns 1 or 0 for every guard that is asked, to be logged."""
        self._rows.append({"step": step, **metrics})
        before = {alarm.guard for alarm in self.alarms}
        self.alarms = alarms(self._rows, self._config)
        self.news = [alarm for alarm in self.alarms if alarm.guard not in before]
        restored, self._restored = self._restored, {}
        return alarm_metrics(self._config, self.alarms) | restored

    def restored(self, step: int) -> None:
        """Forgets the steps after `step`, whose weights are in force again."""
        self._rows = [row for row in self._rows if row["step"] <= step]
        self._restored = {RESTORED: float(step)}
        self.num_restores += 1
        self.alarms = []


def alarm_metrics(config: GuardsConfig, found: Sequence[Alarm]) -> dict[str, float]:
    """`guards/<name>` of every guard that is not ignored: 1 with an alarm, else 0."""
    raised = {alarm.guard for alarm in found}
    asked = [n for n, guard in config.named().items() if guard.action is not GuardAction.ignore]
    return {f"guards/{name}": float(name in raised) for name in asked}


def read_history(folder: Path) -> list[dict[str, float]]:
    """The training steps in a run's `metrics.jsonl`; empty without one. A null is a NaN again."""
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    rows = [json.loads(line) for line in lines]
    return [
        {name: math.nan if value is None else float(value) for name, value in row.items()}
        for row in rows
        if "loss" in row
    ]
