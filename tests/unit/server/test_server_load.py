"""One client that floods, or does not read, costs the others nothing and the server little."""

import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from beanrow.server.connection import MAX_UNREAD_BYTES, MAX_UNSENT_BYTES, RECEIVE_BYTES
from tests.unit.server.in_process_server import Client, Serving

PUT = b"put 0 0 60 1\r\nx\r\n"
USING = b"USING default\r\n"
RESERVED = b"RESERVED 1 1\r\nx\r\n"


@pytest.fixture
def serving() -> Iterator[Serving]:
    with Serving() as serving:
        yield serving


@contextmanager
def at_most_allocated(limit_bytes: int) -> Iterator[None]:
    """Meanwhile, memory in use never grows by more than this."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        yield
        _, peak = tracemalloc.get_traced_memory()
        assert peak - before <= limit_bytes
    finally:
        tracemalloc.stop()


def send_what_is_taken(client: Client, data: bytes, start: int = 0) -> int:
    """Send until the server takes no more; returns how far it came."""
    client.socket.setblocking(False)
    sent = start
    view = memoryview(data)
    try:
        while sent < len(data):
            sent += client.socket.send(view[sent:])
    except BlockingIOError:
        pass
    finally:
        client.socket.settimeout(5)
    return sent


def test_replies_that_nobody_reads_stay_few_and_come_whole_in_the_end(serving: Serving) -> None:
    deaf, other = serving.connect(), serving.connect()
    body = bytes(60_000)
    count = 200
    deaf.ask(b"put 0 0 60 60000\r\n%b\r\n" % body, b"INSERTED 1\r\n")
    reply = b"FOUND 1 60000\r\n%b\r\n" % body
    # What is unsent is once in pieces and once joined; and the last reply goes beyond the limit.
    with at_most_allocated(2 * (MAX_UNSENT_BYTES + len(reply)) + MAX_UNREAD_BYTES + 100_000):
        deaf.say(b"peek 1\r\n" * count)
        for _ in range(20):
            serving.nudge()
        other.ask(b"list-tube-used\r\n", USING)
    for _ in range(count):
        deaf.expect(reply)
    deaf.ask(b"list-tube-used\r\n", USING)


def test_commands_behind_unread_replies_are_not_taken_in_without_end(serving: Serving) -> None:
    deaf, other = serving.connect(), serving.connect()
    deaf.ask(b"put 0 0 60 60000\r\n%b\r\n" % bytes(60_000), b"INSERTED 1\r\n")
    flood = b"peek 1\r\n" * 500_000
    taken = 0
    for _ in range(50):
        taken = send_what_is_taken(deaf, flood, taken)
        serving.nudge()
    assert taken < len(flood) / 2
    other.ask(b"list-tube-used\r\n", USING)


def test_commands_behind_a_waiting_reserve_are_taken_in_up_to_a_limit(serving: Serving) -> None:
    waiter, producer = serving.connect(), serving.connect()
    waiter.say(b"reserve\r\n")
    flood = b"list-tube-used\r\n" * 200_000
    taken = 0
    with at_most_allocated(2 * (MAX_UNREAD_BYTES + RECEIVE_BYTES) + 100_000):
        for _ in range(50):
            taken = send_what_is_taken(waiter, flood, taken)
            serving.nudge()
    assert taken < len(flood) / 2
    producer.ask(PUT, b"INSERTED 1\r\n")
    waiter.expect(RESERVED)
    waiter.expect(USING * (taken // 16))


def test_one_who_is_not_read_from_is_missed_all_the_same_when_it_is_gone(serving: Serving) -> None:
    waiter, other = serving.connect(), serving.connect()
    waiter.say(b"reserve\r\n")
    flood = b"list-tube-used\r\n" * 200_000
    taken = 0
    for _ in range(50):
        taken = send_what_is_taken(waiter, flood, taken)
        serving.nudge()
    assert other.document(b"stats\r\n")[b"current-waiting"] == b"1"
    waiter.reset()
    serving.nudge()
    assert other.document(b"stats\r\n")[b"current-waiting"] == b"0"


def test_what_a_flooding_client_sends_is_executed_in_turns_with_the_others(
    serving: Serving,
) -> None:
    flooder, other = serving.connect(), serving.connect()
    size = 10 * RECEIVE_BYTES // len(PUT)
    with serving.one_tick():
        sent = send_what_is_taken(flooder, PUT * size)
        other.say(b"stats\r\n")
    assert sent > 2 * RECEIVE_BYTES
    (line,) = [line for line in other.read(900).split(b"\n") if b"total-jobs" in line]
    assert int(line.split()[1]) <= RECEIVE_BYTES // len(PUT) + 1


# --- out of descriptors -------------------------------------------------------------------------


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """This process may open nothing more; what is open stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_out_of_descriptors_the_server_serves_on_and_lets_others_in_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Serving(listeners=2) as serving:
        connected = serving.connect()
        serving.nudge()
        with no_descriptor_left_for_newcomers(serving) as newcomers:
            connected.ask(b"list-tube-used\r\n", USING)
            ticks = serving.clock.calls
            serving.nudge()
            assert serving.clock.calls - ticks <= 10
        assert "Too many open files" in caplog.text
        serving.pass_s(1)
        for newcomer in newcomers:
            newcomer.ask(b"list-tube-used\r\n", USING)


def test_out_of_descriptors_a_client_that_leaves_makes_room_at_once() -> None:
    with Serving() as serving:
        leaver = serving.connect()
        serving.nudge()
        with no_descriptor_left_for_newcomers(serving) as newcomers:
            pass
        leaver.close()
        for newcomer in newcomers:
            newcomer.ask(b"list-tube-used\r\n", USING)


@contextmanager
def no_descriptor_left_for_newcomers(serving: Serving) -> Iterator[list[Client]]:
    """Someone knocks at each listener in the same tick, and cannot be let in."""
    limited = no_descriptor_left()
    with serving.one_tick():
        newcomers = [serving.connect(number) for number in range(len(serving.addresses))]
        limited.__enter__()
    try:
        serving.nudge()
        yield newcomers
    finally:
        limited.__exit__(None, None, None)
