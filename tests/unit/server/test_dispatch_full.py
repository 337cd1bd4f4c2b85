"""What a journal has no room for is not done; everything else is."""

import pytest

from beanrow.engine.change import Changes
from beanrow.engine.engine import Engine
from beanrow.journal.base import ADMITTED, BROKEN, FULL
from beanrow.protocol.limits import NS_PER_S
from beanrow.protocol.parser import Parser
from beanrow.protocol.replies import LongReply, wire_pieces
from beanrow.server.dispatch import Dispatcher
from beanrow.server.stats_documents import ServerFacts
from tests.unit.server.late_journal import LateJournal


class Room(LateJournal):
    """A journal that notes for how much it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, int]] = []

    def admit_put(self, tube_bytes: int, body_bytes: int) -> int:
        self.asked.append((f"put in a tube of {tube_bytes}", body_bytes))
        return self.answer

    def admit_updates(self, count: int) -> int:
        self.asked.append(("updates", count))
        return self.answer

    def admit_deletes(self) -> int:
        self.asked.append(("deletes", 1))
        return self.answer


class Desk:
    """A queue with jobs in every state, and a client that holds job 3."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.journal = Room()
        self.dispatcher = Dispatcher(self.engine, ServerFacts(65535, 10485760, 0), self.journal)
        self.dispatcher.now_ns = 100 * NS_PER_S
        self.session = self.engine.open_session()
        self.say(b"put 5 0 60 1\r\nx\r\nput 5 50 60 1\r\nx\r\n")  # 1 is ready, 2 delayed
        self.say(b"put 5 0 60 1\r\nx\r\nreserve-job 3\r\n")
        for job_id in (4, 5):
            self.say(b"put 5 0 60 1\r\nx\r\nreserve-job %d\r\nbury %d 5\r\n" % (job_id, job_id))
        self.engine.changes.clear()
        self.journal.asked.clear()

    def say(self, stream: bytes) -> bytes:
        parser = Parser(65535)
        parser.feed(stream)
        answers = list[bytes | LongReply]()
        while (command := parser.next()) is not None:
            answers.append(self.dispatcher.execute(self.session, command) or b"")
        return b"".join(wire_pieces(answers))

    def all_there_is(self) -> list[tuple[int, int, int, int, int]]:
        return [
            (job.id, job.state, job.pri, job.delay_s, job.reserves)
            for job in self.engine.jobs.values()
        ]


@pytest.fixture
def desk() -> Desk:
    return Desk()


#: What makes a change, its reply, and for what it asks.
CHANGES = [
    (b"put 5 0 60 3\r\nabc\r\n", b"INSERTED 6\r\n", ("put in a tube of 7", 3)),
    (b"delete 1\r\n", b"DELETED\r\n", ("deletes", 1)),
    (b"release 3 7 0\r\n", b"RELEASED\r\n", ("updates", 1)),
    (b"bury 3 7\r\n", b"BURIED\r\n", ("updates", 1)),
    (b"kick 1\r\n", b"KICKED 1\r\n", ("updates", 1)),
    (b"kick 4294967295\r\n", b"KICKED 2\r\n", ("updates", 2)),
    (b"kick-job 2\r\n", b"KICKED\r\n", ("updates", 1)),
    (b"reserve-job 2\r\n", b"RESERVED 2 1\r\nx\r\n", ("updates", 1)),
    (b"reserve-job 4\r\n", b"RESERVED 4 1\r\nx\r\n", ("updates", 1)),
    (b"pause-tube default 9\r\n", b"PAUSED\r\n", ("updates", 1)),
]


@pytest.mark.parametrize(("said", "reply", "asked"), CHANGES)
def test_a_change_asks_first(desk: Desk, said: bytes, reply: bytes, asked: tuple[str, int]) -> None:
    assert desk.say(said) == reply
    assert desk.journal.asked == [asked]
    assert changed(desk.engine.changes)


@pytest.mark.parametrize(
    ("answer", "reply"), [(FULL, b"OUT_OF_MEMORY\r\n"), (BROKEN, b"INTERNAL_ERROR\r\n")]
)
@pytest.mark.parametrize("said", [said for said, _, _ in CHANGES])
def test_without_room_it_is_not_made(desk: Desk, said: bytes, answer: int, reply: bytes) -> None:
    before = desk.all_there_is()
    desk.journal.answer = answer
    assert desk.say(said) == reply
    assert desk.all_there_is() == before
    assert not changed(desk.engine.changes)
    assert not desk.session.use.paused
    assert desk.engine.totals.total_jobs == 5


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        (b"delete 9\r\n", b"NOT_FOUND\r\n"),
        (b"release 9 0 0\r\n", b"NOT_FOUND\r\n"),
        (b"bury 9 0\r\n", b"NOT_FOUND\r\n"),
        (b"kick-job 9\r\n", b"NOT_FOUND\r\n"),
        (b"reserve-job 9\r\n", b"NOT_FOUND\r\n"),
        (b"pause-tube nowhere 9\r\n", b"NOT_FOUND\r\n"),
        (b"kick 0\r\n", b"KICKED 0\r\n"),
        (b"use empty\r\nkick 5\r\n", b"USING empty\r\nKICKED 0\r\n"),
        (b"reserve\r\n", b"RESERVED 1 1\r\nx\r\n"),
        (b"reserve-job 1\r\n", b"RESERVED 1 1\r\nx\r\n"),
        (b"touch 3\r\n", b"TOUCHED\r\n"),
        (b"peek-buried\r\n", b"FOUND 4 1\r\nx\r\n"),
    ],
)
@pytest.mark.parametrize("answer", [FULL, BROKEN])
def test_what_changes_nothing_needs_no_room(
    desk: Desk, said: bytes, reply: bytes, answer: int
) -> None:
    desk.journal.answer = answer
    assert desk.say(said) == reply


def test_kick_without_buried_jobs_asks_for_the_delayed_ones(desk: Desk) -> None:
    desk.say(b"delete 4\r\ndelete 5\r\n")
    desk.journal.asked.clear()
    assert desk.say(b"kick 100\r\n") == b"KICKED 1\r\n"
    assert desk.journal.asked == [("updates", 1)]


def test_with_room_again_it_goes_on_with_another_id(desk: Desk) -> None:
    desk.journal.answer = FULL
    assert desk.say(b"put 5 0 60 1\r\nx\r\n") == b"OUT_OF_MEMORY\r\n"
    desk.journal.answer = ADMITTED
    assert desk.say(b"put 5 0 60 1\r\nx\r\n") == b"INSERTED 7\r\n"


def changed(changes: Changes) -> bool:
    return bool(changes.jobs or changes.pauses)
