"""No reply leaves before the journal has confirmed the change that it acknowledges."""

import logging
import time
from collections.abc import Iterator

import pytest

from beanrow.protocol.limits import NS_PER_S
from beanrow.protocol.replies import LONG_BODY_BYTES
from beanrow.server.connection import MAX_UNSENT_BYTES
from beanrow.server.server import STOP_GRACE_NS
from tests.unit.server.in_process_server import PATIENCE_S, Client, Serving
from tests.unit.server.late_journal import LateJournal

PUT = b"put 0 0 60 1\r\nx\r\n"
USE = b"list-tube-used\r\n"
USING = b"USING default\r\n"
RESERVED = b"RESERVED 1 1\r\nx\r\n"
INTERNAL_ERROR = b"INTERNAL_ERROR\r\n"


@pytest.fixture
def journal() -> LateJournal:
    return LateJournal()


@pytest.fixture
def serving(journal: LateJournal) -> Iterator[Serving]:
    with Serving(journal=journal) as serving:
        yield serving
        journal.confirm()


def put(serving: Serving, journal: LateJournal, client: Client, count: int = 1) -> None:
    """So many jobs, confirmed."""
    client.say(PUT * count)
    serving.nudge()
    journal.confirm()
    for _ in range(count):
        assert client.read_line().startswith(b"INSERTED ")


# --- what waits, and what does not --------------------------------------------------------------


def test_a_reply_to_a_change_leaves_when_the_journal_confirms_it(
    serving: Serving, journal: LateJournal
) -> None:
    client = serving.connect()
    client.say(PUT)
    assert serving.says_nothing_to(client)
    journal.confirm()
    client.expect(b"INSERTED 1\r\n")


@pytest.mark.parametrize(
    ("before", "said", "reply"),
    [
        (b"", b"delete 1\r\n", b"DELETED\r\n"),
        (b"reserve\r\n", b"release 1 5 0\r\n", b"RELEASED\r\n"),
        (b"reserve\r\n", b"bury 1 5\r\n", b"BURIED\r\n"),
        (b"reserve\r\nbury 1 5\r\n", b"kick 1\r\n", b"KICKED 1\r\n"),
        (b"reserve\r\nbury 1 5\r\n", b"kick-job 1\r\n", b"KICKED\r\n"),
        (b"reserve\r\nbury 1 5\r\n", b"reserve-job 1\r\n", RESERVED),
        (b"", b"pause-tube default 5\r\n", b"PAUSED\r\n"),
    ],
)
def test_every_change_waits(
    serving: Serving, journal: LateJournal, before: bytes, said: bytes, reply: bytes
) -> None:
    client, other = serving.connect(), serving.connect()
    put(serving, journal, client)
    other.say(before)
    serving.nudge()
    journal.confirm()
    serving.nudge()
    if before:
        other.expect(RESERVED)
        other.expect(*[b"BURIED\r\n"] * before.count(b"bury"))
    other.say(said)
    assert serving.says_nothing_to(other)
    journal.confirm()
    other.expect(reply)


def test_others_wait_for_nothing(serving: Serving) -> None:
    client, other = serving.connect(), serving.connect()
    client.say(PUT)
    assert serving.says_nothing_to(client)
    other.ask(b"peek 1\r\ntouch 1\r\nreserve\r\ntouch 1\r\n", b"FOUND 1 1\r\nx\r\nNOT_FOUND\r\n")
    other.expect(RESERVED, b"TOUCHED\r\n")


def test_who_waits_for_a_job_gets_it_at_once(serving: Serving) -> None:
    waiter, client = serving.connect(), serving.connect()
    waiter.say(b"reserve\r\n")
    serving.nudge()
    client.say(PUT)
    waiter.expect(RESERVED)
    assert serving.says_nothing_to(client)


# --- order --------------------------------------------------------------------------------------


def test_a_client_hears_its_replies_in_the_order_of_its_commands(
    serving: Serving, journal: LateJournal
) -> None:
    client = serving.connect()
    client.say(USE + PUT + USE)
    assert serving.says_nothing_to(client)
    client.say(USE)
    assert serving.says_nothing_to(client)
    client.say(b"reserve\r\n")
    assert serving.says_nothing_to(client)
    journal.confirm()
    client.expect(USING, b"INSERTED 1\r\n", USING, USING, RESERVED)
    client.ask(USE, USING)


def test_what_is_confirmed_leaves_and_the_rest_goes_on_waiting(
    serving: Serving, journal: LateJournal
) -> None:
    one, other = serving.connect(), serving.connect()
    for number, client in enumerate([one, other, one, one], 1):
        client.say(PUT + USE)
        serving.nudge()
        assert journal.position == number
    journal.confirm(1)
    one.expect(b"INSERTED 1\r\n", USING)
    assert serving.says_nothing_to(one)
    assert serving.says_nothing_to(other)
    journal.confirm(3)
    other.expect(b"INSERTED 2\r\n", USING)
    one.expect(b"INSERTED 3\r\n", USING)
    assert serving.says_nothing_to(one)
    journal.confirm(4)
    one.expect(b"INSERTED 4\r\n", USING)


def test_what_is_not_held_itself_comes_behind_all_that_is(
    serving: Serving, journal: LateJournal
) -> None:
    client = serving.connect()
    for said in (PUT, PUT, USE):
        client.say(said)
        serving.nudge()
    journal.confirm(1)
    client.expect(b"INSERTED 1\r\n")
    assert serving.says_nothing_to(client)
    journal.confirm(2)
    client.expect(b"INSERTED 2\r\n", USING)


def test_what_follows_a_held_reply_waits_no_longer_than_that(
    serving: Serving, journal: LateJournal
) -> None:
    client, other = serving.connect(), serving.connect()
    client.say(PUT)
    serving.nudge()
    other.say(PUT)
    serving.nudge()
    client.say(USE)
    serving.nudge()
    journal.confirm(1)
    client.expect(b"INSERTED 1\r\n", USING)
    assert serving.says_nothing_to(other)


def test_an_answer_of_a_wait_does_not_overtake(serving: Serving, journal: LateJournal) -> None:
    client = serving.connect()
    client.say(b"use a\r\n" + PUT + b"reserve-with-timeout 5\r\n")
    serving.pass_s(5)
    assert serving.says_nothing_to(client)
    journal.confirm()
    client.expect(b"USING a\r\nINSERTED 1\r\nTIMED_OUT\r\n")


# --- bounds -------------------------------------------------------------------------------------


def test_what_is_held_counts_as_unsent(serving: Serving, journal: LateJournal) -> None:
    """Who goes on asking is not executed for ever while the journal is late."""
    client = serving.connect()
    body = bytes(60_000)
    client.say(b"put 0 0 60 60000\r\n%b\r\n" % body + b"peek 1\r\n" * 100)
    serving.nudge()
    serving.nudge()
    peeks = int(serving.connect().document(b"stats\r\n")[b"cmd-peek"])
    assert 0 < peeks <= MAX_UNSENT_BYTES // 60_000 + 1
    journal.confirm()
    client.expect(b"INSERTED 1\r\n", b"FOUND 1 60000\r\n%b\r\n" % body * 100)


def test_while_the_journal_is_late_the_server_sleeps(
    serving: Serving, journal: LateJournal
) -> None:
    client = serving.connect()
    client.say(PUT)
    serving.nudge()
    commits = journal.commits
    serving.nudge()
    # The two that a nudge makes; a loop that found the socket writable would make thousands.
    assert journal.commits <= commits + 4
    journal.confirm()
    client.expect(b"INSERTED 1\r\n")


def test_the_journal_is_asked_again_when_it_wants_to_be(
    serving: Serving, journal: LateJournal
) -> None:
    journal.retry_in_ns = 1_000_000
    serving.nudge()
    commits = journal.commits
    while journal.commits < commits + 5:  # nobody says anything
        pass


# --- clients that leave -------------------------------------------------------------------------


@pytest.mark.parametrize("half_close", [True, False])
def test_who_says_no_more_still_hears_what_was_held(
    serving: Serving, journal: LateJournal, half_close: bool
) -> None:
    client = serving.connect()
    client.say(PUT + (b"" if half_close else b"quit\r\n"))
    if half_close:
        client.say_no_more()
    assert serving.says_nothing_to(client)
    journal.confirm()
    client.expect(b"INSERTED 1\r\n")
    client.expect_end()


@pytest.mark.parametrize("leave", [Client.close, Client.reset])
def test_what_was_held_for_one_who_left_is_for_nobody(
    serving: Serving, journal: LateJournal, leave: object
) -> None:
    client = serving.connect()
    client.say(PUT)
    serving.nudge()
    assert callable(leave)
    leave(client)
    serving.nudge()
    stranger = serving.connect()
    stranger.ask(USE, USING)
    journal.confirm()
    assert serving.says_nothing_to(stranger)
    stranger.ask(b"peek 1\r\n", b"FOUND 1 1\r\nx\r\n")


def test_who_left_is_not_counted_among_those_who_wait(
    serving: Serving, journal: LateJournal, caplog: pytest.LogCaptureFixture
) -> None:
    client, slow, idle = serving.connect(), serving.connect(), serving.connect()
    client.say(PUT)
    slow.say(PUT)
    serving.nudge()
    client.reset()
    serving.nudge()
    serving.stop()
    idle.expect_end()  # so the two seconds have begun
    serving.clock.now_ns += STOP_GRACE_NS
    journal.wake()
    slow.expect_end()
    serving.wait_for_end()
    assert "1 clients go unanswered" in caplog.text
    assert "did not take" not in caplog.text


# --- trouble ------------------------------------------------------------------------------------


def test_in_trouble_no_change_is_acknowledged_and_puts_are_taken_back(
    serving: Serving, journal: LateJournal, caplog: pytest.LogCaptureFixture
) -> None:
    client, other = serving.connect(), serving.connect()
    put(serving, journal, other, 5)
    journal.confirm()
    other.ask(b"reserve-job 1\r\nreserve-job 2\r\n", RESERVED, b"RESERVED 2 1\r\nx\r\n")
    other.say(b"release 1 0 0\r\nbury 2 0\r\ndelete 3\r\nkick 9\r\npause-tube default 9\r\n" + USE)
    client.say(USE + PUT)
    serving.nudge()
    with caplog.at_level(logging.INFO):
        journal.set_trouble("disk: Input/output error")
        client.expect(USING, INTERNAL_ERROR)
        other.expect(INTERNAL_ERROR * 5, USING)
        client.ask(b"peek 6\r\n", b"NOT_FOUND\r\n")
        serving.nudge()
        journal.set_trouble("")
        serving.nudge()
    assert journal.appended[-1] == -6
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert "disk: Input/output error" in caplog.text
    client.say(PUT)
    serving.nudge()
    journal.confirm()
    client.expect(b"INSERTED 7\r\n")


def test_in_trouble_a_long_body_is_still_told_to_who_reserved_it(
    serving: Serving, journal: LateJournal
) -> None:
    client = serving.connect()
    body = b"DELETED\r\n" + bytes(LONG_BODY_BYTES)  # no reply, whatever it reads like
    client.say(b"put 0 0 60 %d\r\n%b\r\n" % (len(body), body))
    serving.nudge()
    journal.confirm()
    client.expect(b"INSERTED 1\r\n")
    client.say(PUT + b"reserve-job 1\r\n")
    serving.nudge()
    journal.set_trouble("disk: Input/output error")
    client.expect(INTERNAL_ERROR, b"RESERVED 1 %d\r\n%b\r\n" % (len(body), body))


def test_what_was_confirmed_before_the_trouble_is_acknowledged(
    serving: Serving, journal: LateJournal
) -> None:
    client = serving.connect()
    with serving.one_tick():
        client.say(PUT)
    with serving.one_tick():
        client.say(PUT + b"delete 1\r\n")
    with serving.one_tick():
        journal.durable = 1
        journal.set_trouble("gone")
    client.expect(b"INSERTED 1\r\n", INTERNAL_ERROR * 2)
    client.ask(b"peek 1\r\npeek 2\r\n", b"NOT_FOUND\r\n" * 2)


def test_a_job_taken_back_leaves_whoever_has_it(serving: Serving, journal: LateJournal) -> None:
    waiter, client = serving.connect(), serving.connect()
    waiter.say(b"reserve\r\n")
    client.say(PUT)
    waiter.expect(RESERVED)
    serving.nudge()
    journal.set_trouble("gone")
    client.expect(INTERNAL_ERROR)
    waiter.ask(b"delete 1\r\n", b"NOT_FOUND\r\n")
    stats = waiter.document(b"stats\r\n")
    assert (stats[b"current-jobs-reserved"], stats[b"current-jobs-ready"]) == (b"0", b"0")


def test_what_is_reserved_by_its_id_stays_reserved(serving: Serving, journal: LateJournal) -> None:
    client = serving.connect()
    client.say(b"put 0 50 60 1\r\nx\r\n")
    serving.nudge()
    journal.confirm()
    client.expect(b"INSERTED 1\r\n")
    client.say(b"reserve-job 1\r\n")
    assert serving.says_nothing_to(client)
    journal.set_trouble("gone")
    client.expect(RESERVED)
    client.ask(b"touch 1\r\n", b"TOUCHED\r\n")


# --- the stop -----------------------------------------------------------------------------------


def test_a_stop_waits_for_the_journal(serving: Serving, journal: LateJournal) -> None:
    client, idle = serving.connect(), serving.connect()
    client.say(PUT)
    serving.nudge()
    serving.stop()
    idle.expect_end()
    assert not journal.is_closed.is_set()
    journal.confirm()
    client.expect(b"INSERTED 1\r\n")
    client.expect_end()
    serving.wait_for_end()
    assert journal.is_closed.is_set()


def test_a_stop_does_not_wait_for_ever(
    serving: Serving, journal: LateJournal, caplog: pytest.LogCaptureFixture
) -> None:
    client, idle = serving.connect(), serving.connect()
    client.say(PUT)
    serving.nudge()
    serving.stop()
    idle.expect_end()
    serving.clock.now_ns += STOP_GRACE_NS
    journal.wake()
    client.expect_end()
    serving.wait_for_end()
    assert journal.is_closed.is_set()
    assert "1 clients go unanswered, the journal was not in time" in caplog.text


def test_a_trouble_at_the_stop_is_told_to_who_waits(serving: Serving, journal: LateJournal) -> None:
    client, idle = serving.connect(), serving.connect()
    client.say(PUT)
    serving.nudge()
    serving.stop()
    idle.expect_end()
    journal.set_trouble("gone")
    client.expect(INTERNAL_ERROR)
    client.expect_end()
    serving.wait_for_end()
    assert journal.appended == [1, -1]


def test_what_changes_when_a_client_is_closed_is_appended_soon(
    serving: Serving, journal: LateJournal
) -> None:
    """A tube that vanishes with its last client has a pause that ends. Nobody else says a word."""
    client = serving.connect()
    client.say(b"use a\r\npause-tube a 9\r\n")
    serving.nudge()
    journal.confirm()
    client.expect(b"USING a\r\nPAUSED\r\n")
    position = journal.position
    client.close()
    give_up_at_s = time.monotonic() + PATIENCE_S
    while journal.position == position:
        assert time.monotonic() < give_up_at_s
    assert journal.position == position + 1


def test_seconds_go_by_while_replies_are_held(serving: Serving, journal: LateJournal) -> None:
    """A delay begins when the put is executed, whenever it is confirmed."""
    client, waiter = serving.connect(), serving.connect()
    client.say(b"put 0 5 60 1\r\nx\r\n")
    waiter.say(b"reserve\r\n")
    serving.nudge()
    serving.clock.now_ns += 5 * NS_PER_S
    serving.nudge()
    waiter.expect(RESERVED)
    assert serving.says_nothing_to(client)
