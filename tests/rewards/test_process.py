"""A user's reward for whole updates, in a real process of its own."""

import asyncio

import pytest

from rewards.config import CustomRewardConfig
from rewards.pool import WorkerPool
from rewards.process import in_its_own_process
from rewards.protocols import RewardError
from tests.rewards.groups import group, verdicts
from tests.rewards.pools import shared_pool

GROUPS, VERDICTS = [group("a", [10, 20])], [verdicts([True, False])]
MINE = """
from data.types import Score

def everyone(groups, verdicts):
    return [[Score(correct=True, parts={}, total=2.0) for _ in g.completions] for g in groups]
"""


def totals(target, runner_and_pool=None, updates=1, **options):
    runner, pool = runner_and_pool or shared_pool()
    reward = in_its_own_process(CustomRewardConfig(target=target, **options), pool, runner.run)
    return [[[s.total for s in row] for row in reward(GROUPS, VERDICTS)] for _ in range(updates)]


def test_state_is_kept_between_updates():
    counted = totals("tests.rewards.user_rewards.counting", updates=3)
    assert counted == [[[1.0, 1.0]], [[2.0, 2.0]], [[3.0, 3.0]]]


def test_random_numbers_depend_on_the_update_alone_so_that_a_resumed_run_draws_the_same():
    runner, pool = shared_pool()
    config = CustomRewardConfig(target="tests.rewards.user_rewards.drawn")
    reward = in_its_own_process(config, pool, runner.run)
    once, again = reward(GROUPS, VERDICTS), reward(GROUPS, VERDICTS)
    other = reward(GROUPS, [verdicts([False, True])])
    assert once == again != other


def test_args_reach_the_factory():
    target = "tests.rewards.user_rewards.constant"
    assert totals(target, args={"value": 0.5}) == [[[0.5, 0.5]]]


def test_what_this_process_can_import_the_worker_can(tmp_path, monkeypatch):
    (tmp_path / "beside_the_recipe.py").write_text(MINE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with asyncio.Runner() as runner:
        pool = WorkerPool(workers=1, timeout_seconds=30, memory_gib=4.0)
        try:
            assert totals("beside_the_recipe.everyone", (runner, pool)) == [[[2.0, 2.0]]]
        finally:
            runner.run(pool.close())


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("hangs", r"hangs timed out: no result within 0\.3 s; .*reward\.timeout_seconds"),
        ("dies", r"dies died: the worker process ended by signal 9 \(SIGKILL\)"),
        ("raises", r"raised .*length"),
        ("nan", r"nan"),
        ("too_few", r"returned \[1\] scores per group"),
        ("numbers", r"numbers "),
    ],
)
def test_a_reward_that_fails_ends_the_run_with_its_name(target, message):
    seconds = 0.3 if target == "hangs" else 30.0
    path = f"tests.rewards.user_rewards.{target}"
    with pytest.raises(RewardError, match=message) as caught:
        totals(path, timeout_seconds=seconds)
    assert f"reward.target={path}" in str(caught.value)
