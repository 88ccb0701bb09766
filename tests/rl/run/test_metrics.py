import pytest

from rl.run.metrics import METRICS, check_names, varies


def test_an_unlisted_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"'grad_nrom' \(nearest: grad_norm\)"):
        check_names({"reward": 1.0, "grad_nrom": 0.1})


def test_families_of_names_are_listed_once() -> None:
    check_names({"rewards/length/mean": 0.0, "eval/level_7/accuracy": 0.5, "eval/pass@4": 1.0})
    with pytest.raises(ValueError, match="rewards/a/b/mean"):
        check_names({"rewards/a/b/mean": 0.0})


def test_every_metric_says_what_it_means() -> None:
    assert all(metric.meaning for metric in METRICS.values())


def test_only_times_speeds_and_drafts_vary_between_identical_runs() -> None:
    prefixes = {name.split("/")[0] for name, metric in METRICS.items() if metric.varies}
    assert prefixes == {"step_time", "time", "rollout", "vllm"}
    assert varies("time/learn")
    assert not varies("rewards/length/mean")
