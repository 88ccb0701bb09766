"""Ends the worker processes that the tests of this folder share."""

import pytest

from tests.rewards.pools import close_shared_pool


@pytest.fixture(scope="session", autouse=True)
def shared_workers_end():
    yield
    close_shared_pool()
