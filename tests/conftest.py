"""Fixtures that every test may use: a fresh server of either kind, on a free port."""

from collections.abc import Iterator

import pytest

from tests.peers import RunningServer, running_beanrow, running_beanstalkd


@pytest.fixture
def beanrow_server() -> Iterator[RunningServer]:
    with running_beanrow() as server:
        yield server


@pytest.fixture
def beanstalkd_server() -> Iterator[RunningServer]:
    with running_beanstalkd() as server:
        yield server


@pytest.fixture(params=["beanrow", "beanstalkd"])
def either_server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """Both servers in turn; the real one shows that the test itself is right."""
    running = running_beanrow if request.param == "beanrow" else running_beanstalkd
    with running() as server:
        yield server
