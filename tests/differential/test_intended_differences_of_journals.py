"""What beanrow brings back after a restart and beanstalkd does not.

The reasons are in docs/compatibility.md; `scripts/journal.txt` leaves these cases out.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential.player import Wire
from tests.differential.replies import document
from tests.peers import RunningServer, running_beanrow

PUT = b"put 5 0 60 1\r\nx\r\n"


class Client:
    """Asks one server, however often it is restarted."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._wire = Wire(server)

    def ask(self, *commands: bytes) -> bytes:
        """Say all of these; returns the line of the last reply."""
        line = b""
        for command in commands:
            self._wire.send(command if command.endswith(b"\r\n") else command + b"\r\n")
            line = self._wire.next_reply().line
        return line

    def document(self, command: bytes) -> dict[str, str]:
        self._wire.send(command + b"\r\n")
        return dict(document(self._wire.next_reply()))

    def restart(self) -> None:
        self.close()
        self._server.restart()
        self._wire = Wire(self._server)

    def close(self) -> None:
        self._wire.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with running_beanrow("-b", str(tmp_path)) as server:
        client = Client(server)
        yield client
        client.close()


def test_a_released_job_keeps_its_new_priority_and_its_counters(client: Client) -> None:
    client.ask(PUT, b"reserve-job 1", b"release 1 77 0")
    client.restart()
    job = client.document(b"stats-job 1")
    assert (job["state"], job["pri"], job["reserves"], job["releases"]) == ("ready", "77", "1", "1")


def test_buried_jobs_stay_in_the_order_in_which_they_were_buried(client: Client) -> None:
    client.ask(PUT, PUT, PUT)
    for job_id in (2, 3, 1):
        client.ask(b"reserve-job %d" % job_id, b"bury %d 5" % job_id)
    for job_id in (2, 3, 1):
        client.restart()
        assert client.ask(b"peek-buried") == b"FOUND %d 1" % job_id
        client.ask(b"kick 1")


def test_a_restart_is_no_bury(client: Client) -> None:
    client.ask(PUT, b"reserve-job 1", b"bury 1 5")
    client.restart()
    client.restart()
    assert client.document(b"stats-job 1")["buries"] == "1"


@pytest.mark.parametrize(
    "commands", [(PUT, b"reserve-job 1", b"bury 1 5"), (b"put 5 100 60 1\r\nx\r\n",)]
)
def test_a_job_that_was_reserved_is_ready_wherever_it_was_taken_from(
    client: Client, commands: tuple[bytes, ...]
) -> None:
    client.ask(*commands, b"reserve-job 1")
    client.restart()
    assert client.document(b"stats-job 1")["state"] == "ready"


def test_an_id_is_never_given_again(client: Client) -> None:
    for job_id in range(1, 4):
        assert client.ask(PUT) == b"INSERTED %d" % job_id
        assert client.ask(b"delete %d" % job_id) == b"DELETED"
        client.restart()
        client.restart()


def test_a_pause_goes_on(client: Client) -> None:
    client.ask(b"use a", PUT, b"pause-tube a 100")
    client.restart()
    tube = client.document(b"stats-tube a")
    assert tube["pause"] == "100"
    assert int(tube["pause-time-left"]) >= 90
    assert client.ask(b"watch a", b"reserve-with-timeout 0") == b"TIMED_OUT"


@pytest.mark.parametrize("size", [65534, 65535])
def test_the_largest_jobs_come_back_and_all_that_was_put_after_them(
    client: Client, size: int
) -> None:
    client.ask(b"put 0 0 60 %d\r\n%b\r\n" % (size, bytes(size)), PUT)
    client.restart()
    assert client.ask(b"peek 1") == b"FOUND 1 %d" % size
    assert client.ask(b"peek 2") == b"FOUND 2 1"
