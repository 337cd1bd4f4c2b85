"""Before anybody is let in, the journal is replayed; and it is closed, however that ends."""

import socket
from collections.abc import Callable, Iterator

import pytest

from beanrow.engine.change import JobFacts
from beanrow.engine.job import BURIED, DELAYED
from beanrow.engine.replay import Replay
from beanrow.journal.errors import JournalError
from beanrow.protocol.limits import NS_PER_S
from beanrow.server.server import Server
from tests.unit.server.in_process_server import Serving
from tests.unit.server.late_journal import LateJournal


class FullJournal(LateJournal):
    """One that has something to replay; ``on_replay`` is called meanwhile."""

    def __init__(self, *facts: JobFacts, on_replay: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._facts = facts
        self.on_replay = on_replay

    def replay(self, target: Replay, wake: Callable[[], None]) -> None:
        super().replay(target, wake)
        for facts in self._facts:
            target.put(facts)
        if self.on_replay is not None:
            self.on_replay()


def job(job_id: int, state: int = 0, due_ns: int = 0) -> JobFacts:
    facts = JobFacts(job_id)
    facts.tube, facts.body, facts.ttr_s = b"default", b"x", 60
    facts.state, facts.due_ns, facts.order = state, due_ns, job_id
    return facts


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_what_a_journal_knows_is_there_for_the_first_client() -> None:
    due_ns = 1_700_000_000 * NS_PER_S  # which is now, by the clock of the test
    journal = FullJournal(job(3), job(5, BURIED), job(7, DELAYED, due_ns))
    with Serving(journal=journal) as serving:
        client = serving.connect()
        client.ask(b"peek-buried\r\n", b"FOUND 5 1\r\nx\r\n")
        client.ask(b"reserve\r\n", b"RESERVED 3 1\r\nx\r\n")
        client.ask(b"reserve\r\n", b"RESERVED 7 1\r\nx\r\n")
        client.say(b"put 0 0 60 1\r\nx\r\n")
        serving.nudge()
        journal.confirm()
        client.expect(b"INSERTED 8\r\n")


def test_readiness_is_told_once_all_is_there(listener: socket.socket) -> None:
    events: list[str] = []
    journal = FullJournal(on_replay=lambda: events.append("replayed"))
    server = Server([listener], journal=journal)

    def stop() -> None:
        events.append("ready")
        server.stop()

    server.run(stop)
    assert events == ["replayed", "ready"]


def test_a_server_that_is_stopped_meanwhile_is_never_ready(listener: socket.socket) -> None:
    journal = FullJournal()
    server = Server([listener], journal=journal)
    journal.on_replay = server.stop
    server.run(lambda: pytest.fail("it is ready"))
    assert journal.is_closed.is_set()


def test_a_journal_that_cannot_be_used_ends_it_and_lets_go_of_everything(
    listener: socket.socket,
) -> None:
    def fail() -> None:
        raise JournalError("another server uses it")

    journal = FullJournal(on_replay=fail)
    server = Server([listener], journal=journal)
    with pytest.raises(JournalError, match="another server"):
        server.run(lambda: pytest.fail("it is ready"))
    assert journal.is_closed.is_set()
    assert listener.fileno() == -1
