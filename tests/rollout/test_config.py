import pytest

from rollout.config import Placement, VllmConfig


def test_the_defaults_are_right():
    assert VllmConfig().problems() == []


@pytest.mark.parametrize("option", ["start_seconds", "hang_seconds", "restart_window_seconds"])
def test_patience_is_a_positive_time(option):
    (problem,) = VllmConfig(**{option: 0.0}).problems()
    assert problem == f"rollout.{option}=0.0: set it above 0"


def test_no_restart_is_a_choice_and_fewer_are_not():
    assert VllmConfig(max_restarts=0).problems() == []
    (problem,) = VllmConfig(max_restarts=-1).problems()
    assert problem.startswith("rollout.max_restarts=-1")


def test_every_version_may_be_sent_whole_and_none_is_not_an_interval():
    assert VllmConfig(sync_anchor_versions=1).problems() == []
    (problem,) = VllmConfig(sync_anchor_versions=0).problems()
    assert problem.startswith("rollout.sync_anchor_versions=0: set it to 1")


def test_replicas_found_by_their_addresses_have_addresses():
    urls = ["http://10.0.0.1:8000", "http://10.0.0.2:8000"]
    assert VllmConfig(placement=Placement.remote, urls=urls).problems() == []
    for wrong in (VllmConfig(placement=Placement.remote), VllmConfig(urls=urls)):
        (problem,) = wrong.problems()
        assert "set rollout.placement=remote and rollout.urls=[http://host:port]" in problem


@pytest.mark.parametrize(
    ("urls", "told"),
    [
        (["10.0.0.1:8000"], "write http://host:port"),
        (["http://a", "http://a"], "each replica once"),
    ],
)
def test_addresses_are_whole_and_named_once(urls, told):
    (problem,) = VllmConfig(placement=Placement.remote, urls=urls).problems()
    assert told in problem


def test_replicas_of_this_machine_are_for_cpus():
    assert VllmConfig(replicas=2, placement=Placement.cpu).problems() == []
    (problem,) = VllmConfig(replicas=2, placement=Placement.shared).problems()
    assert problem.startswith("rollout.replicas=2 with rollout.placement=shared")
    (problem,) = VllmConfig(replicas=0).problems()
    assert problem.startswith("rollout.replicas=0")
