"""How clients leave, how the server stops, and what becomes of what was under way."""

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from beanrow.server.server import STOP_GRACE_NS
from tests.unit.server.in_process_server import Client, Serving


@pytest.fixture
def serving() -> Iterator[Serving]:
    with Serving() as serving:
        yield serving


PUT = b"put 0 0 60 1\r\nx\r\n"
USING = b"USING default\r\n"
RESERVED = b"RESERVED 1 1\r\nx\r\n"

LEAVING: list[Callable[[Client], None]] = [
    Client.close,
    Client.reset,
    Client.say_no_more,
    lambda client: client.say(b"quit\r\n"),
]
leaving = pytest.mark.parametrize("leave", LEAVING, ids=["close", "reset", "half-close", "quit"])

# --- clients that leave -------------------------------------------------------------------------


@leaving
def test_a_job_of_a_client_that_leaves_goes_to_who_waits_at_once(
    serving: Serving, leave: Callable[[Client], None]
) -> None:
    """No one says anything else that could wake the server: the leaving must do."""
    leaver, waiter = serving.connect(), serving.connect()
    leaver.ask(PUT + b"reserve\r\n", b"INSERTED 1\r\n", RESERVED)
    waiter.say(b"reserve\r\n")
    serving.nudge()
    leave(leaver)
    waiter.expect(RESERVED)


@leaving
def test_a_client_that_leaves_counts_no_more(
    serving: Serving, leave: Callable[[Client], None]
) -> None:
    leaver, other = serving.connect(), serving.connect()
    leaver.ask(PUT + b"reserve\r\nuse a\r\n", b"INSERTED 1\r\n", RESERVED, b"USING a\r\n")
    leave(leaver)
    serving.nudge()
    stats = other.document(b"stats\r\n")
    assert (stats[b"current-producers"], stats[b"current-workers"]) == (b"0", b"0")
    # The nudger and the asker.
    assert (stats[b"current-connections"], stats[b"total-connections"]) == (b"2", b"3")
    assert (stats[b"current-jobs-ready"], stats[b"current-tubes"]) == (b"1", b"1")


@pytest.mark.parametrize("leave", [Client.close, Client.reset])
def test_a_client_that_leaves_waits_no_more(
    serving: Serving, leave: Callable[[Client], None]
) -> None:
    leaver, other = serving.connect(), serving.connect()
    leaver.say(b"reserve\r\n")
    serving.nudge()
    assert other.document(b"stats\r\n")[b"current-waiting"] == b"1"
    leave(leaver)
    serving.nudge()
    assert other.document(b"stats\r\n")[b"current-waiting"] == b"0"
    other.ask(PUT + b"reserve-with-timeout 0\r\n", b"INSERTED 1\r\n", RESERVED)


def test_a_client_that_leaves_in_mid_body_leaves_nothing_but_a_spent_id(serving: Serving) -> None:
    leaver, other = serving.connect(), serving.connect()
    leaver.say(b"put 0 0 60 1\r\n")
    serving.nudge()
    leaver.close()
    serving.nudge()
    assert other.document(b"stats\r\n")[b"total-jobs"] == b"0"
    other.ask(PUT, b"INSERTED 2\r\n")


def test_after_quit_nothing_is_executed_but_all_before_it_is_answered(serving: Serving) -> None:
    client, other = serving.connect(), serving.connect()
    client.ask(PUT + b"list-tube-used\r\nquit\r\n" + PUT, b"INSERTED 1\r\n", USING)
    client.expect_end()
    assert other.document(b"stats\r\n")[b"total-jobs"] == b"1"


def test_one_who_waits_and_is_gone_in_the_tick_of_its_answer_harms_nobody(
    serving: Serving,
) -> None:
    """Its place is taken at once: the next client gets the same descriptor."""
    leaver = serving.connect()
    leaver.say(b"reserve-with-timeout 5\r\n")
    with serving.one_tick():
        leaver.reset()
        newcomer = serving.connect()
        serving.clock.now_ns += 5_000_000_000
    newcomer.ask(PUT + b"reserve\r\n", b"INSERTED 1\r\n", RESERVED)


def test_a_job_handed_to_one_who_is_gone_comes_back(serving: Serving) -> None:
    leaver, producer = serving.connect(), serving.connect()
    leaver.say(b"reserve\r\n")
    with serving.one_tick():
        producer.say(PUT)
        leaver.reset()
    producer.expect(b"INSERTED 1\r\n")
    producer.ask(b"reserve-with-timeout 0\r\n", RESERVED)


# --- clients that only listen any more ----------------------------------------------------------


def test_commands_before_a_half_close_are_all_answered(serving: Serving) -> None:
    client = serving.connect()
    client.say(PUT + b"reserve\r\nlist-tube-used\r\n")
    client.say_no_more()
    client.expect(b"INSERTED 1\r\n", RESERVED, USING)
    client.expect_end()


@pytest.mark.parametrize(
    "rest", [b"list-tube-us", b"put 0 0 60 5\r\nhel", b"x" * 1000, b"put 0 0 60 999999\r\nx", b"\r"]
)
def test_what_is_not_complete_at_a_half_close_is_dropped(serving: Serving, rest: bytes) -> None:
    client = serving.connect()
    client.say(b"list-tube-used\r\n" + rest)
    client.say_no_more()
    client.expect(USING)
    client.expect_end()


@pytest.mark.parametrize("at_once", [True, False])
def test_a_half_close_ends_every_wait(serving: Serving, at_once: bool) -> None:
    client = serving.connect()
    client.say(b"reserve\r\nreserve\r\nlist-tube-used\r\nreserve-with-timeout 5\r\n")
    client.say(b"list-tube-used\r\n")
    if not at_once:
        assert serving.says_nothing_to(client)
    client.say_no_more()
    client.expect(b"TIMED_OUT\r\nTIMED_OUT\r\n", USING, b"TIMED_OUT\r\n", USING)
    client.expect_end()


def test_who_only_listens_is_closed_when_its_wait_has_ended(serving: Serving) -> None:
    client = serving.connect()
    client.say(b"reserve\r\n")
    serving.nudge()
    client.say_no_more()
    client.expect(b"TIMED_OUT\r\n")
    client.expect_end()


def test_a_reserve_before_a_half_close_gets_a_job_if_there_is_one(serving: Serving) -> None:
    client = serving.connect()
    client.say(b"reserve\r\n" + PUT + b"reserve\r\ndelete 1\r\n")
    client.say_no_more()
    client.expect(b"TIMED_OUT\r\nINSERTED 1\r\n", RESERVED, b"DELETED\r\n")
    client.expect_end()


def test_a_large_answer_reaches_one_who_only_listens(serving: Serving) -> None:
    client = serving.connect()
    body = bytes(60_000)
    client.ask(b"put 0 0 60 60000\r\n%b\r\n" % body, b"INSERTED 1\r\n")
    client.say(b"peek 1\r\n" * 20)
    client.say_no_more()
    client.expect(b"FOUND 1 60000\r\n%b\r\n" % body * 20)
    client.expect_end()


# --- the stop -----------------------------------------------------------------------------------


def fill(client: Client, count: int) -> bytes:
    """Ask for more than sockets hold, and read none of it yet. Returns what will come."""
    body = bytes(60_000)
    client.say(b"put 0 0 60 60000\r\n%b\r\n" % body + b"peek 1\r\n" * count)
    return b"INSERTED 1\r\n" + b"FOUND 1 60000\r\n%b\r\n" % body * count


def test_a_stop_sends_the_last_replies_and_closes_everything(serving: Serving) -> None:
    reader, waiter, idle = (serving.connect() for _ in range(3))
    replies = fill(reader, 4)
    waiter.say(b"reserve\r\n")
    waiter_gets = b"RESERVED 1 60000\r\n" + bytes(60_000) + b"\r\n"
    idle.say(b"list-tu")
    serving.nudge()
    serving.stop()
    reader.expect(replies)
    for client in (reader, idle):
        client.expect_end()
    waiter.expect(waiter_gets)
    waiter.expect_end()
    serving.wait_for_end()
    with pytest.raises(ConnectionRefusedError):
        serving.connect()


def test_a_stop_waits_two_seconds_for_those_who_do_not_read(serving: Serving) -> None:
    deaf, slow, idle = (serving.connect() for _ in range(3))
    replies = fill(deaf, 20)
    serving.nudge()
    slow.say(b"peek 1\r\n" * 20)
    serving.nudge()
    serving.stop()
    idle.expect_end()  # so the two seconds have begun
    with pytest.raises(ConnectionRefusedError):
        serving.connect()
    serving.clock.now_ns += STOP_GRACE_NS
    # It sleeps until one of them reads, and then sees what time it is.
    slow.read_to_end()
    serving.wait_for_end()
    got = deaf.read_to_end()
    assert replies.startswith(got)
    assert len(got) < len(replies)


def test_a_stop_executes_nothing_more(serving: Serving) -> None:
    client = serving.connect()
    with serving.stopping():
        client.say(PUT)
    with contextlib.suppress(ConnectionResetError):  # as its put was never read
        assert client.read_to_end() == b""


# --- no work, no ticks --------------------------------------------------------------------------


def idle(serving: Serving) -> None:
    serving.connect()


def waiting(serving: Serving) -> None:
    serving.connect().say(b"reserve\r\n")


def waiting_with_more_to_say_than_is_taken(serving: Serving) -> None:
    client = serving.connect()
    client.socket.setblocking(False)
    client.socket.send(b"reserve\r\n" + b"list-tube-used\r\n" * 20_000)


def not_reading(serving: Serving) -> None:
    fill(serving.connect(), 50)


def not_reading_and_not_writing(serving: Serving) -> None:
    client = serving.connect()
    fill(client, 50)
    client.say_no_more()


def stopping(serving: Serving) -> None:
    not_reading(serving)
    other = serving.connect()
    serving.nudge()
    serving.stop()
    other.expect_end()


@pytest.mark.parametrize(
    "state",
    [
        idle,
        waiting,
        waiting_with_more_to_say_than_is_taken,
        not_reading,
        not_reading_and_not_writing,
        stopping,
    ],
)
def test_a_server_that_can_do_nothing_sleeps(
    serving: Serving, state: Callable[[Serving], None]
) -> None:
    state(serving)
    if state is not stopping:
        serving.nudge()
        serving.nudge()
    ticks = serving.clock.calls
    # Not to wait for anything: to give a server that spins the time to show it.
    time.sleep(0.05)
    assert serving.clock.calls - ticks <= 20


def test_the_answer_to_a_closed_socket_is_not_sent_to_another(serving: Serving) -> None:
    waiter, producer = serving.connect(), serving.connect()
    waiter.say(b"reserve\r\n")
    serving.nudge()
    waiter.close()
    stranger = serving.connect()
    producer.ask(PUT, b"INSERTED 1\r\n")
    assert serving.says_nothing_to(stranger)
