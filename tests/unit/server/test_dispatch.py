"""Each command does its verb, answers in the words of the wire, and is counted or not."""

import pytest

from beanrow.engine.engine import Engine
from beanrow.engine.session import NoJob, Session
from beanrow.journal.base import NullJournal
from beanrow.protocol import commands
from beanrow.protocol.limits import NS_PER_S
from beanrow.protocol.parser import Parser
from beanrow.protocol.replies import LongReply, wire_pieces
from beanrow.server.dispatch import Dispatcher, answer_reserve
from beanrow.server.stats_documents import ServerFacts


class Desk:
    """A dispatcher, and what one client says to it."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.journal = NullJournal()
        self.dispatcher = Dispatcher(self.engine, ServerFacts(65535, 10485760, 0), self.journal)
        self.dispatcher.now_ns = 100 * NS_PER_S
        self.session = self.engine.open_session()

    def say(self, stream: bytes, session: Session | None = None) -> bytes:
        """What is answered at once to these commands."""
        parser = Parser(65535)
        parser.feed(stream)
        answers = list[bytes | LongReply]()
        while (command := parser.next()) is not None:
            answers.append(self.dispatcher.execute(session or self.session, command) or b"")
        return b"".join(wire_pieces(answers))

    def pass_s(self, seconds: int) -> None:
        self.dispatcher.now_ns += seconds * NS_PER_S
        self.engine.tick(self.dispatcher.now_ns)

    def document(self, command: bytes) -> dict[str, str]:
        _, _, yaml = self.say(command).decode().partition("---\n")
        lines = [line.partition(": ") for line in yaml.splitlines() if line]
        return {key: value for key, _, value in lines}


@pytest.fixture
def desk() -> Desk:
    return Desk()


PUT = b"put 5 0 60 1\r\nx\r\n"

# --- each verb ----------------------------------------------------------------------------------


def test_every_verb_has_its_answer(desk: Desk) -> None:
    found, reserved = b"FOUND 1 1\r\nx\r\n", b"RESERVED 1 1\r\nx\r\n"
    for said, answered in [
        (PUT, b"INSERTED 1\r\n"),
        (b"peek 1\r\n", found),
        (b"peek-ready\r\n", found),
        (b"reserve\r\n", reserved),
        (b"touch 1\r\n", b"TOUCHED\r\n"),
        (b"release 1 7 30\r\n", b"RELEASED\r\n"),
        (b"peek-delayed\r\n", found),
        (b"reserve-job 1\r\n", reserved),
        (b"bury 1 7\r\n", b"BURIED\r\n"),
        (b"peek-buried\r\n", found),
        (b"kick 10\r\n", b"KICKED 1\r\n"),
        (b"reserve-with-timeout 5\r\n", reserved),
        (b"bury 1 7\r\n", b"BURIED\r\n"),
        (b"kick-job 1\r\n", b"KICKED\r\n"),
        (b"delete 1\r\n", b"DELETED\r\n"),
        (b"use a\r\n", b"USING a\r\n"),
        (b"list-tube-used\r\n", b"USING a\r\n"),
        (b"watch b\r\n", b"WATCHING 2\r\n"),
        (b"list-tubes\r\n", b"OK 22\r\n---\n- default\n- a\n- b\n\r\n"),
        (b"list-tubes-watched\r\n", b"OK 18\r\n---\n- default\n- b\n\r\n"),
        (b"ignore b\r\n", b"WATCHING 1\r\n"),
        (b"ignore default\r\n", b"NOT_IGNORED\r\n"),
        (b"pause-tube a 5\r\n", b"PAUSED\r\n"),
        (b"reserve-with-timeout 0\r\n", b"TIMED_OUT\r\n"),
    ]:
        assert desk.say(said) == answered, said


@pytest.mark.parametrize(
    "said",
    [
        *(b"peek 9\r\n", b"peek-ready\r\n", b"peek-delayed\r\n", b"peek-buried\r\n"),
        *(b"reserve-job 9\r\n", b"delete 9\r\n", b"release 9 0 0\r\n", b"bury 9 0\r\n"),
        *(b"touch 9\r\n", b"kick-job 9\r\n", b"stats-job 9\r\n", b"stats-tube a\r\n"),
        b"pause-tube a 1\r\n",
    ],
)
def test_what_is_not_there_is_not_found(desk: Desk, said: bytes) -> None:
    assert desk.say(said) == b"NOT_FOUND\r\n"


def test_who_waits_and_who_quits_is_not_answered_now(desk: Desk) -> None:
    for said in (b"reserve\r\n", b"quit\r\n"):
        assert desk.say(said, desk.engine.open_session()) == b""


def test_a_wait_is_answered_in_the_words_of_a_reserve(desk: Desk) -> None:
    desk.say(PUT)
    assert answer_reserve(desk.engine.jobs[1]) == b"RESERVED 1 1\r\nx\r\n"
    assert answer_reserve(NoJob.TIMED_OUT) == b"TIMED_OUT\r\n"
    assert answer_reserve(NoJob.DEADLINE_SOON) == b"DEADLINE_SOON\r\n"


def test_a_wait_ends_after_its_seconds(desk: Desk) -> None:
    desk.say(b"reserve-with-timeout 4294967295\r\n")
    assert desk.engine.next_tick_ns() == (100 + 4294967295) * NS_PER_S


def test_peek_looks_at_any_tube_and_the_others_at_the_used_one(desk: Desk) -> None:
    desk.say(b"use a\r\n" + PUT + b"use b\r\n")
    assert desk.say(b"peek 1\r\n") == b"FOUND 1 1\r\nx\r\n"
    assert desk.say(b"peek-ready\r\n") == b"NOT_FOUND\r\n"


def test_peek_shows_the_job_whose_turn_it_is(desk: Desk) -> None:
    desk.say(b"put 9 0 60 1\r\na\r\nput 1 0 60 1\r\nb\r\n")
    desk.say(b"put 0 20 60 1\r\nc\r\nput 0 10 60 1\r\nd\r\n")
    assert desk.say(b"peek-ready\r\n") == b"FOUND 2 1\r\nb\r\n"
    assert desk.say(b"peek-delayed\r\n") == b"FOUND 4 1\r\nd\r\n"
    desk.say(b"reserve-job 1\r\nbury 1 0\r\nreserve-job 2\r\nbury 2 0\r\n")
    assert desk.say(b"peek-buried\r\n") == b"FOUND 1 1\r\na\r\n"


# --- puts that fail -----------------------------------------------------------------------------


def test_a_failed_put_spends_its_id_and_leaves_nothing_for_the_next(desk: Desk) -> None:
    assert desk.say(b"put 1 2 3 1\r\nxyz") == b"EXPECTED_CRLF\r\n"
    desk.dispatcher.draining = True
    assert desk.say(b"put 1 2 3 1\r\nx\r\n") == b"DRAINING\r\n"
    assert desk.say(b"put 1 2 3 1\r\nxyz") == b"EXPECTED_CRLF\r\n"
    desk.dispatcher.draining = False
    assert desk.say(b"put 0 0 9 1\r\nx\r\n") == b"INSERTED 4\r\n"
    job = desk.engine.jobs[4]
    assert (job.pri, job.delay_s, job.ttr_s) == (0, 0, 9)
    assert desk.engine.totals.total_jobs == 1


def test_a_body_that_is_too_big_spends_no_id_and_makes_no_producer(desk: Desk) -> None:
    body = bytes(65536)
    assert desk.say(b"put 0 0 9 65536\r\n%b\r\n" % body) == b"JOB_TOO_BIG\r\n"
    assert desk.engine.totals.producers == 0
    assert desk.say(PUT) == b"INSERTED 1\r\n"
    assert desk.dispatcher.counts[commands.PUT] == 2


# --- what counts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "key"),
    [
        (PUT, "cmd-put"),
        (b"put 0 0 0 65536\r\n" + bytes(65538), "cmd-put"),
        (b"put 0 0 0 1x\r\n", "cmd-put"),
        (b"put 0 0 0 1\r\nxyz", "cmd-put"),
        (b"peek 9\r\n", "cmd-peek"),
        (b"peek-ready\r\n", "cmd-peek-ready"),
        (b"peek-delayed\r\n", "cmd-peek-delayed"),
        (b"peek-buried\r\n", "cmd-peek-buried"),
        (b"reserve-with-timeout 0\r\n", "cmd-reserve-with-timeout"),
        (b"delete 9\r\n", "cmd-delete"),
        (b"release 9 0 0\r\n", "cmd-release"),
        (b"use default\r\n", "cmd-use"),
        (b"watch default\r\n", "cmd-watch"),
        (b"ignore default\r\n", "cmd-ignore"),
        (b"bury 9 0\r\n", "cmd-bury"),
        (b"kick 1\r\n", "cmd-kick"),
        (b"touch 9\r\n", "cmd-touch"),
        (b"stats-job 9\r\n", "cmd-stats-job"),
        (b"stats-tube a\r\n", "cmd-stats-tube"),
        (b"list-tubes\r\n", "cmd-list-tubes"),
        (b"list-tube-used\r\n", "cmd-list-tube-used"),
        (b"list-tubes-watched\r\n", "cmd-list-tubes-watched"),
        (b"pause-tube a 1\r\n", "cmd-pause-tube"),
        (b"pause-tube -a 1\r\n", "cmd-pause-tube"),
    ],
)
def test_a_well_formed_command_counts_whatever_its_answer(
    desk: Desk, said: bytes, key: str
) -> None:
    desk.say(said)
    assert counted(desk) == {key: "1", "cmd-stats": "1"}


@pytest.mark.parametrize(
    "said",
    [
        *(b"xyz\r\n", b"\r\n", b"peek x\r\n", b"put 0 0 0 x\r\n", b"reserve-with-timeout -1\r\n"),
        *(b"use -\r\n", b"pause-tube a x\r\n", b"stats \r\n", b"quit\r\n"),
        *(b"kick-job 9\r\n", b"reserve-job 9\r\n"),  # well formed, but there is no such counter
    ],
)
def test_no_other_command_counts(desk: Desk, said: bytes) -> None:
    desk.say(said)
    assert counted(desk) == {"cmd-stats": "1"}
    assert desk.engine.totals.workers == 0


def test_a_reserve_counts_by_its_kind(desk: Desk) -> None:
    desk.say(PUT * 3 + b"reserve\r\nreserve-with-timeout 1\r\nreserve-job 3\r\n")
    assert counted(desk) == {
        "cmd-put": "3",
        "cmd-reserve": "1",
        "cmd-reserve-with-timeout": "1",
        "cmd-stats": "1",
    }


def counted(desk: Desk) -> dict[str, str]:
    """The counters of commands that are not 0."""
    stats = desk.document(b"stats\r\n")
    return {key: n for key, n in stats.items() if key.startswith("cmd-") and n != "0"}


# --- documents ----------------------------------------------------------------------------------


def test_the_document_of_a_job(desk: Desk) -> None:
    desk.say(b"use t\r\nput 5 10 60 1\r\nx\r\n")
    desk.pass_s(3)
    document = (
        b'---\nid: 1\ntube: "t"\nstate: delayed\npri: 5\nage: 3\ndelay: 10\nttr: 60\n'
        b"time-left: 7\nfile: 0\nreserves: 0\ntimeouts: 0\nreleases: 0\nburies: 0\nkicks: 0\n"
    )
    assert desk.say(b"stats-job 1\r\n") == b"OK %d\r\n%b\r\n" % (len(document), document)


def test_the_document_of_a_tube(desk: Desk) -> None:
    desk.say(b"use t\r\nput 5 0 60 1\r\nx\r\nput 5 9 60 1\r\nx\r\n" + PUT * 3)
    desk.say(b"reserve-job 3\r\nreserve-job 4\r\nbury 4 0\r\ndelete 5\r\npause-tube t 9\r\n")
    waiter = desk.engine.open_session()
    desk.say(b"watch t\r\nreserve\r\n", waiter)
    desk.pass_s(3)
    assert desk.document(b"stats-tube t\r\n") == {
        "name": '"t"',
        "current-jobs-urgent": "1",
        "current-jobs-ready": "1",
        "current-jobs-reserved": "1",
        "current-jobs-delayed": "1",
        "current-jobs-buried": "1",
        "total-jobs": "5",
        "current-using": "1",
        "current-watching": "1",
        "current-waiting": "1",
        "cmd-delete": "1",
        "cmd-pause-tube": "1",
        "pause": "9",
        "pause-time-left": "6",
    }
    desk.pass_s(6)
    stats = desk.document(b"stats-tube t\r\n")
    assert (stats["pause"], stats["pause-time-left"]) == ("0", "0")


STATS_KEYS = """
current-jobs-urgent current-jobs-ready current-jobs-reserved current-jobs-delayed
current-jobs-buried cmd-put cmd-peek cmd-peek-ready cmd-peek-delayed cmd-peek-buried cmd-reserve
cmd-reserve-with-timeout cmd-delete cmd-release cmd-use cmd-watch cmd-ignore cmd-bury cmd-kick
cmd-touch cmd-stats cmd-stats-job cmd-stats-tube cmd-list-tubes cmd-list-tube-used
cmd-list-tubes-watched cmd-pause-tube job-timeouts total-jobs max-job-size current-tubes
current-connections current-producers current-workers current-waiting total-connections pid
version rusage-utime rusage-stime uptime binlog-oldest-index binlog-current-index
binlog-records-migrated binlog-records-written binlog-max-size draining id hostname os platform
"""


def test_the_document_of_the_server(desk: Desk) -> None:
    desk.say(PUT * 3 + b"put 9999 9 60 1\r\nx\r\nput 9999 0 1 1\r\nx\r\nreserve-job 5\r\n")
    desk.pass_s(1)
    desk.say(b"reserve-job 2\r\nreserve-job 3\r\nbury 3 0\r\nuse t\r\n")
    desk.say(b"watch w\r\nignore default\r\nreserve\r\n", desk.engine.open_session())
    desk.engine.close_session(desk.engine.open_session(), desk.dispatcher.now_ns)
    stats = desk.document(b"stats\r\n")
    assert list(stats) == STATS_KEYS.split()
    expected = {
        "current-jobs-urgent": "1",
        "current-jobs-ready": "2",
        "current-jobs-reserved": "1",
        "current-jobs-delayed": "1",
        "current-jobs-buried": "1",
        "job-timeouts": "1",
        "total-jobs": "5",
        "max-job-size": "65535",
        "current-tubes": "3",
        "current-connections": "2",
        "current-producers": "1",
        "current-workers": "2",
        "current-waiting": "1",
        "total-connections": "3",
        "uptime": "101",
        "binlog-max-size": "10485760",
        "binlog-oldest-index": "0",
        "draining": "false",
    }
    assert {key: stats[key] for key in expected} == expected
    for key in ("version", "hostname", "os", "platform"):
        assert stats[key].startswith('"')
        assert stats[key].endswith('"')
    assert len(bytes.fromhex(stats["id"])) == 8
    assert float(stats["rusage-utime"]) > 0
