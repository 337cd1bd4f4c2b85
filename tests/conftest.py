"""Which build is tested; and a fresh server of either kind, on a free port, for every test."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import beanrow
from beanrow.build import BUILD, VERSION_LINE
from tests.peers import RunningServer, running_beanrow, running_beanstalkd


def pytest_report_header() -> str:
    return f"{VERSION_LINE} from {Path(beanrow.__file__).parent}"


def pytest_sessionstart() -> None:
    """Run on the build that BEANROW_BUILD names, here and in child processes, or not at all.

    The suite is run on both builds (`make test`); it must not pass on the same one twice.
    """
    command = [sys.executable, "-m", "beanrow", "--version"]
    child = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    if child.stdout.rstrip() != VERSION_LINE:
        pytest.exit(f"a child process is not {VERSION_LINE}: {child.stdout}{child.stderr}", 3)
    wanted = os.environ.get("BEANROW_BUILD", BUILD)
    if wanted != BUILD:
        pytest.exit(f"BEANROW_BUILD={wanted}, but this is {VERSION_LINE}", 3)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run once, of two runs, what does not depend on the build."""
    if os.environ.get("BEANROW_BUILD") == "compiled":
        for item in items:
            if item.get_closest_marker("any_build"):
                item.add_marker(pytest.mark.skip(reason="is run on the interpreted build"))


@pytest.fixture
def beanrow_server() -> Iterator[RunningServer]:
    with running_beanrow() as server:
        yield server


@pytest.fixture
def beanstalkd_server() -> Iterator[RunningServer]:
    with running_beanstalkd() as server:
        yield server


@pytest.fixture(params=["beanrow", pytest.param("beanstalkd", marks=pytest.mark.any_build)])
def either_server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """Both servers in turn; the real one shows that the test itself is right."""
    running = running_beanrow if request.param == "beanrow" else running_beanstalkd
    with running() as server:
        yield server
