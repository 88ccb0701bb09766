"""A gate of a user's, in a real process of its own."""

import pytest

from rewards.gates.custom import CustomGateConfig, build_gate
from rewards.protocols import RewardError
from tests.rewards.groups import group, verdicts
from tests.rewards.pools import shared_pool

MINE = "tests.rewards.user_gates"
GROUPS = [group("a", [10, 20]), group("b", [30, 40]), group("c", [5])]
VERDICTS = [verdicts([True, False]), verdicts([False, False]), verdicts([True])]


def gate(name, **options):
    runner, pool = shared_pool()
    return build_gate(CustomGateConfig(target=f"{MINE}.{name}", **options), pool, runner.run)


@pytest.mark.parametrize("name", ["some_right", "as_numpy"])
def test_a_users_function_chooses_groups(name):
    chosen = gate(name)(GROUPS, VERDICTS)
    assert chosen == [True, False, True]
    assert {type(each) for each in chosen} == {bool}


def test_args_make_a_function_a_factory():
    chosen = gate("longest_below", args={"tokens": 21})(GROUPS, VERDICTS)
    assert chosen == [True, False, True]


def test_state_is_kept_between_updates():
    every_second = gate("every_second")
    chosen = [every_second(GROUPS[:1], VERDICTS[:1]) for _ in range(4)]
    assert chosen in ([[False], [True]] * 2, [[True], [False]] * 2)


def test_random_numbers_depend_on_the_update_alone_so_that_a_resumed_run_draws_the_same():
    many = [group(f"g{n}", [n + 1]) for n in range(64)]
    judged = [verdicts([True])] * 64
    drawn = gate("drawn")
    once, again, other = drawn(many, judged), drawn(many, judged), drawn(many[::-1], judged)
    assert once == again != other
    assert len(set(once)) == 2


@pytest.mark.parametrize(
    ("name", "returned"),
    [
        ("one_too_few", "2 values for 3 groups"),
        ("shares", "0.5 for a group"),
        ("per_completion", r"\[True, True\] for a group"),
        ("nothing", "None"),
    ],
)
def test_what_is_no_choice_of_groups_ends_the_run(name, returned):
    with pytest.raises(RewardError) as caught:
        gate(name)(GROUPS, VERDICTS)
    caught.match(
        rf"gate\.target={MINE}\.{name}: returned {returned}; return a list with True or False for "
        "each group"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "raised KeyError: 'length'"),
        ("dies", "SIGKILL"),
        ("hangs", "timed out: no result within 0.5 s"),
    ],
)
def test_a_gate_that_fails_ends_the_run_by_name(name, said):
    with pytest.raises(RewardError, match=rf"gate\.target={MINE}\.{name} .*{said}.*; mend it, or"):
        gate(name, timeout_seconds=0.5)(GROUPS, VERDICTS)


def test_options_are_checked():
    assert CustomGateConfig(target="mine.gate").problems() == []
    assert CustomGateConfig(target="mine.gate", timeout_seconds=0.5).problems() == []
    assert CustomGateConfig().timeout_seconds == 60
    assert CustomGateConfig(target="gate", timeout_seconds=0).problems() == [
        "gate.target='gate': a custom gate is a dotted path; set gate.target=module.name",
        "gate.timeout_seconds=0: set a positive number of seconds",
    ]
