"""Guards on hand-made histories; on recorded runs in `test_recorded_runs.py`."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.run.config import GuardAction, GuardConfig, GuardsConfig
from rl.run.folder import append_metrics
from rl.run.guards import GUARDS, Row, Watch, alarms, read_history
from rl.run.metrics import check_names
from rl.run.rollout_metrics import pass_rate_std_error

CONFIG = GuardsConfig()
HEALTHY = {
    "accuracy": 0.9,
    "accuracy/std_error": 0.07,
    "loss": 0.01,
    "grad_norm": 0.3,
    "skipped_updates": 0.0,
    "learning_rate": 1e-4,
    "entropy": 0.5,
    "ratio/max": 1.5,
    "frac_reward_zero_std": 0.4,
    "completions/mean_length": 100.0,
    "completions/frac_all_clipped": 0.0,
    "sampling/k3_kl_fresh": 0.0,
    "sampling/k3_kl_stale": 0.0,
    "vllm/train/draft_mean_acceptance_length": 2.0,
    "vllm/train/draft_off_share": 0.0,
}


def history(name: str, values: Sequence[float]) -> list[Row]:
    """Healthy steps, but for one column."""
    return [
        {**HEALTHY, name: value, "step": float(step)} for step, value in enumerate(values, start=1)
    ]


def raised(rows: Sequence[Row], config: GuardsConfig = CONFIG) -> list[str]:
    return [alarm.guard for alarm in alarms(rows, config)]


def first_alarm(rows: Sequence[Row], guard: str) -> int | None:
    """The step at which `guard` rings first."""
    for end in range(1, len(rows) + 1):
        if guard in raised(rows[:end]):
            return end
    return None


def test_there_is_one_check_for_every_guard_of_the_options() -> None:
    assert list(GUARDS) == list(CONFIG.named())


# Windows of 3: the alarm comes with the first window whose mean is beyond the threshold.
@pytest.mark.parametrize(
    ("guard", "name", "values", "step"),
    [
        # 0.9 - (0.9 + 0.9 + 0.3) / 3 = 0.2 is more than 0.2 * 0.9, but chance at step 6 is
        # sqrt(2 log(6^3 / 0.01)) * 0.07 sqrt(1 / 3 + 1 / 3) = 0.26; then 0.4 is more than both.
        ("accuracy_fall", "accuracy", [0.9, 0.9, 0.9, 0.9, 0.9, 0.3, 0.3], 7),
        # (40 + 2 + 2) / 3 = 14.7, then (2 + 2 + 2) / 3 = 2 < 0.1 * 100
        ("length_collapse", "completions/mean_length", [100, 40, 2, 2, 2], 5),
        ("entropy_collapse", "entropy", [1.0, 0.1, 0.04, 0.04, 0.04], 5),
        # (1 + 1 + 27) / 3 < 10 < (1 + 27 + 27) / 3
        ("exploding_ratio", "ratio/max", [1, 1, 27, 27], 4),
        # (0 + 0.6 + 0.6) / 3 = 0.4, then 0.6 > 0.5
        ("all_truncated", "completions/frac_all_clipped", [0, 0.6, 0.6, 0.6], 4),
        ("zero_variance", "frac_reward_zero_std", [0.8, 0.9, 0.9, 0.95], 4),
        # (0 + 0.01 + 0.01) / 3 < 0.01, then (0.01 + 0.01 + 0.02) / 3 > 0.01
        ("engine_mismatch", "sampling/k3_kl_fresh", [0, 0.01, 0.01, 0.02], 4),
        ("stale_policy", "sampling/k3_kl_stale", [0, 0.01, 0.01, 0.02], 4),
        # usual 2e-4 +- 1.07e-4, allowed 5.2e-4: (3 + 3 + 9) / 3 = 5e-4, then (3 + 9 + 9) / 3
        ("mismatch_shift", "sampling/k3_kl_fresh", [1e-4, 3e-4] * 4 + [3e-4, 3e-4, 9e-4, 9e-4], 12),
        # (1.1 + 1.1 + 1.0) / 3 = 1.067, then 1.033
        ("useless_drafts", "vllm/train/draft_mean_acceptance_length", [1.1, 1.1, 1.0, 1.0], 4),
        ("non_finite", "skipped_updates", [0, 0, 1], 3),
        ("non_finite", "critic/skipped_updates", [0, 0, 1], 3),
        ("non_finite", "draft_model/skipped_updates", [0, 1], 2),
        ("non_finite", "loss", [0.1, math.nan], 2),
        ("non_finite", "grad_norm", [0.1, 0.1, math.inf], 3),
    ],
)
def test_alarm_comes_with_the_first_window_beyond_the_threshold(
    guard: str, name: str, values: list[float], step: int
) -> None:
    rows = history(name, values)
    assert first_alarm(rows, guard) == step
    assert raised(rows[:step]) == [guard]


def test_message_has_figures_cause_and_the_setting_to_change() -> None:
    (alarm,) = alarms(history("accuracy", [0.9] * 3 + [0.4] * 3), CONFIG)
    assert alarm.message.startswith(
        "guard accuracy_fall, step 6: accuracy 0.400 over the last 3 steps, 56% below the 0.900 "
        "that the run had (allowed 20%). Likely cause: updates too large"
    )
    assert "lower learner.learning_rate" in alarm.message
    assert "(learner.learning_rate was 0.0001; guards.accuracy_fall holds" in alarm.message


def test_a_fall_in_the_second_step_is_measured_from_the_first() -> None:
    assert first_alarm(history("accuracy", [0.9, 0.2]), "accuracy_fall") == 2


FRESH, STALE = "sampling/k3_kl_fresh", "sampling/k3_kl_stale"


def aged(fresh: float | None, stale: float | None) -> list[Row]:
    """Three steps whose k3 is as given, left out where None."""
    columns = {name: value for name, value in ((FRESH, fresh), (STALE, stale)) if value is not None}
    healthy = {name: value for name, value in HEALTHY.items() if name not in (FRESH, STALE)}
    return [{**healthy, **columns, "step": float(step)} for step in (1, 2, 3)]


@pytest.mark.parametrize(
    ("fresh", "stale", "guards"),
    [
        (0.2, 0.2, ["engine_mismatch"]),  # older tokens show no more than the engine's part
        (1e-9, 0.2, ["stale_policy"]),
        (0.2, 0.4, ["engine_mismatch", "stale_policy"]),
        (0.2, None, ["engine_mismatch"]),
        (None, 0.2, ["stale_policy"]),
        (None, None, []),
    ],
)
def test_the_engine_and_old_weights_are_told_apart(
    fresh: float | None, stale: float | None, guards: list[str]
) -> None:
    assert raised(aged(fresh, stale)) == guards


def test_an_alarm_of_old_weights_says_what_is_known_of_the_engine() -> None:
    (known,) = alarms(aged(0.005, 0.2), CONFIG)
    assert "k3 0.195 nats a token of older weights" in known.message
    assert "(allowed 0.01; the engine's part, 0.005, is taken off)" in known.message
    (unknown,) = alarms(aged(None, 0.2), CONFIG)
    assert "no token of the weights in force shows the engine's part" in unknown.message


def test_a_step_without_fresh_tokens_leaves_the_others_of_the_window_to_judge_by() -> None:
    first, second, third = aged(0.2, 0.2)
    without = {name: value for name, value in second.items() if name != FRESH}
    assert raised([first, without, third]) == ["engine_mismatch"]


@pytest.mark.parametrize(
    ("length", "off", "guards"),
    [
        (1.04, 0.0, ["useless_drafts"]),
        (1.03, 0.5, []),  # 1 + 0.03 / 0.5 = 1.06 where there is a draft
        (1.02, 0.5, ["useless_drafts"]),  # 1.04
        (1.0, 0.98, []),  # off, but for probes
        (1.0, 1.0, []),
    ],
)
def test_drafts_are_judged_where_they_are_made_and_while_they_are_on(
    length: float, off: float, guards: list[str]
) -> None:
    columns = {
        "vllm/train/draft_mean_acceptance_length": length,
        "vllm/train/draft_off_share": off,
    }
    assert raised([{**HEALTHY, **columns, "step": float(step)} for step in (1, 2, 3)]) == guards


def test_a_run_without_drafts_has_no_useless_ones() -> None:
    rows = [{k: v for k, v in row.items() if "vllm" not in k} for row in history("loss", [0.1] * 4)]
    assert raised(rows) == []


def test_a_gap_of_rounding_may_shift_and_seven_steps_are_no_past() -> None:
    small = [1e-12] * 8 + [9e-7] * 3
    assert first_alarm(history("sampling/k3_kl_fresh", small), "mismatch_shift") is None
    short = [1e-4] * 7 + [9e-3] * 3
    assert first_alarm(history("sampling/k3_kl_fresh", short), "mismatch_shift") is None


def test_bad_steps_are_tolerated_up_to_the_threshold() -> None:
    tolerant = replace(CONFIG, non_finite=GuardConfig(threshold=1, action=GuardAction.stop))
    rows = history("loss", [0.1, math.nan, math.nan])
    assert raised(rows[:2], tolerant) == []
    assert raised(rows, tolerant) == ["non_finite"]


def test_an_ignored_guard_neither_rings_nor_is_logged() -> None:
    config = replace(CONFIG, non_finite=GuardConfig(threshold=0, action=GuardAction.ignore))
    rows = history("loss", [math.nan])
    assert raised(rows, config) == []
    assert "guards/non_finite" not in Watch(config)(1, rows[0])


def test_metrics_are_listed_and_tell_which_guard_rang() -> None:
    logged = Watch(CONFIG)(1, {**HEALTHY, "loss": math.nan})
    check_names(logged)
    assert logged == {f"guards/{name}": float(name == "non_finite") for name in GUARDS}


def test_an_alarm_that_lasts_is_news_once() -> None:
    watch = Watch(CONFIG)
    news = []
    for row in history("frac_reward_zero_std", [1.0] * 5 + [0.0] * 2 + [1.0] * 3):
        watch(int(row["step"]), row)
        news += [(int(row["step"]), alarm.guard) for alarm in watch.news]
    assert news == [(3, "zero_variance"), (10, "zero_variance")]


def test_steps_after_the_restored_one_are_forgotten() -> None:
    watch = Watch(CONFIG)
    for row in history("accuracy", [0.9] * 4 + [0.3] * 2):
        watch(int(row["step"]), row)
    assert [alarm.guard for alarm in watch.alarms] == ["accuracy_fall"]
    watch.restored(3)
    logged = watch(7, HEALTHY)
    assert (logged["guards/restored_step"], logged["guards/accuracy_fall"]) == (3.0, 0.0)
    assert "guards/restored_step" not in watch(8, HEALTHY)


def test_a_resumed_run_judges_as_the_interrupted_one(tmp_path: Path) -> None:
    interrupted = Watch(CONFIG)
    for step, row in enumerate(history("accuracy", [0.9] * 4 + [0.3] * 2), start=1):
        append_metrics(tmp_path, step, {**HEALTHY, "accuracy": row["accuracy"]})
        interrupted(step, row)
    append_metrics(tmp_path, 6, {"eval/accuracy": 0.2})
    interrupted.restored(3)
    metrics = {**HEALTHY, "entropy": math.nan}
    append_metrics(tmp_path, 7, metrics | interrupted(7, metrics))
    resumed = Watch(CONFIG, read_history(tmp_path))
    assert resumed.num_restores == interrupted.num_restores == 1
    for step, accuracy in ((8, 0.3), (9, 0.3)):
        metrics = {**HEALTHY, "accuracy": accuracy}
        assert resumed(step, metrics) == interrupted(step, metrics)
    assert resumed.alarms == interrupted.alarms != []


def test_a_new_run_has_no_history(tmp_path: Path) -> None:
    assert read_history(tmp_path) == []


shares = st.floats(0, 1)


@given(st.lists(shares, min_size=1, max_size=12).map(sorted))
def test_an_accuracy_that_never_falls_raises_no_alarm(values: list[float]) -> None:
    rows = history("accuracy", values)
    assert all(raised(rows[:end]) == [] for end in range(1, len(rows) + 1))


@settings(max_examples=50)
@given(st.lists(shares, min_size=1, max_size=12), shares, shares)
def test_a_higher_threshold_never_adds_an_alarm(
    values: list[float], one: float, other: float
) -> None:
    def ring(threshold: float) -> bool:
        options = GuardConfig(threshold=threshold, action=GuardAction.warn)
        rows = history("accuracy", values)
        return "accuracy_fall" in raised(rows, replace(CONFIG, accuracy_fall=options))

    low, high = sorted((one, other))
    assert ring(low) or not ring(high)


@settings(max_examples=30)
@given(st.lists(shares, min_size=1, max_size=12), st.lists(shares, max_size=2))
def test_what_comes_later_changes_no_earlier_alarm(past: list[float], future: list[float]) -> None:
    rows = history("accuracy", past + future)
    watch = Watch(CONFIG)
    for row in rows[: len(past)]:
        watch(int(row["step"]), row)
    assert watch.alarms == alarms(rows[: len(past)], CONFIG)


@given(shares, st.integers(1, 30))
def test_a_constant_run_is_healthy(accuracy: float, steps: int) -> None:
    assert raised(history("accuracy", [accuracy] * steps)) == []


@pytest.mark.parametrize("accuracy", [0.1, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("num_prompts", [1, 2, 8, 32])
def test_chance_alone_raises_no_alarm_however_few_the_prompts(
    accuracy: float, num_prompts: int
) -> None:
    """The completions of a prompt are all right or all wrong: the widest spread there is."""
    random = np.random.default_rng(0)
    for run in random.random((4, 200, num_prompts)) < accuracy:
        rows: list[Row] = [
            {
                **HEALTHY,
                "accuracy": float(solved.mean()),
                "accuracy/std_error": pass_rate_std_error(solved.astype(float)),
                "step": float(step),
            }
            for step, solved in enumerate(run, start=1)
        ]
        assert first_alarm(rows, "accuracy_fall") is None


def test_options_are_checked() -> None:
    assert GuardsConfig().problems() == []
    wrong = GuardsConfig(
        window=0,
        max_restores=-1,
        all_truncated=GuardConfig(threshold=math.nan, action=GuardAction.warn),
    )
    problems = json.dumps(wrong.problems())
    for key in ("guards.window=0", "guards.max_restores=-1", "guards.all_truncated.threshold=nan"):
        assert key in problems


def test_steps_that_warm_a_critic_up_are_not_what_the_policy_is_compared_with() -> None:
    rows = history("entropy", [0.5, 0.5, 0.5, *[0.01] * 5])
    warming = [{name: row[name] for name in row if name != "entropy"} for row in rows[:2]]
    assert raised([*warming, *rows[2:]]) == raised(rows) == ["entropy_collapse"]
