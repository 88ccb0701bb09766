"""What tests of the learner share: one process group per session, which cannot be formed twice."""

from collections.abc import Iterator

import pytest

from rl.learner.process_group import Ranks, start_process_group, stop_process_group


@pytest.fixture(scope="session")
def ranks() -> Iterator[Ranks]:
    """This process alone. DeepSpeed keeps the first group it meets, so there is one per session."""
    yield start_process_group()
    stop_process_group()
