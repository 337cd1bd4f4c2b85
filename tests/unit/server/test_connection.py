"""A connection gathers replies, sends what its socket takes, and says what it waits for."""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator

import pytest

from beanrow.engine.engine import Engine
from beanrow.protocol.replies import found
from beanrow.server.connection import MAX_UNREAD_BYTES, RECEIVE_BYTES, Connection
from beanrow.server.loop import HALF_CLOSED, READ, WRITE

#: So many pieces the system takes in one call.
IOV_MAX = os.sysconf("SC_IOV_MAX")

Ends = tuple[Connection, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A connection, and its client's socket. Neither end blocks."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    for sock in (ours, theirs):
        sock.setblocking(False)
    yield Connection(ours, "a client", Engine().open_session(), 65535), theirs
    ours.close()
    theirs.close()


def read_all(sock: socket.socket) -> bytes:
    data = bytearray()
    with contextlib.suppress(BlockingIOError):
        while chunk := sock.recv(1 << 20):
            data += chunk
    return bytes(data)


# --- receiving ----------------------------------------------------------------------------------


def test_nothing_comes_while_nothing_was_sent(ends: Ends) -> None:
    connection, _ = ends
    connection.receive()
    assert not connection.at_end


def test_what_comes_goes_to_the_parser(ends: Ends) -> None:
    connection, client = ends
    client.send(b"quit\r\nrest")
    connection.receive()
    assert connection.parser.waiting_bytes() == 10


def test_in_one_go_only_so_much_is_received(ends: Ends) -> None:
    connection, client = ends
    client.send(b"x" * 3 * RECEIVE_BYTES)
    connection.receive()
    assert 0 < connection.parser.waiting_bytes() <= RECEIVE_BYTES


def test_the_end_comes_too(ends: Ends) -> None:
    connection, client = ends
    client.shutdown(socket.SHUT_WR)
    connection.receive()
    assert connection.at_end
    assert connection.is_half_closed


def test_a_connection_that_broke_raises(ends: Ends) -> None:
    connection, client = ends
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    with pytest.raises(ConnectionResetError):
        connection.receive()
    connection.reply(b"x")
    with pytest.raises(BrokenPipeError):
        connection.send()


# --- sending ------------------------------------------------------------------------------------


def test_replies_go_out_in_order_when_they_are_sent_and_not_before(ends: Ends) -> None:
    connection, client = ends
    for reply in (b"one ", b"two ", b"three"):
        connection.reply(reply)
    assert connection.unsent_bytes == 13
    assert read_all(client) == b""
    connection.send()
    assert connection.unsent_bytes == 0
    assert read_all(client) == b"one two three"


def test_what_the_socket_does_not_take_is_sent_later_and_in_order(ends: Ends) -> None:
    connection, client = ends
    replies = [b"%d " % number * 1000 for number in range(5000)]
    expected = b"".join(replies)
    for reply in replies:
        connection.reply(reply)
    connection.send()
    assert 0 < connection.unsent_bytes < len(expected)
    unsent = connection.unsent_bytes
    connection.send()
    connection.reply(b"the end")
    assert connection.unsent_bytes <= unsent + 7
    got = b""
    while connection.unsent_bytes:
        got += read_all(client)
        connection.send()
    assert got + read_all(client) == expected + b"the end"


def test_long_bodies_go_out_in_their_place_however_little_the_socket_takes(ends: Ends) -> None:
    connection, client = ends
    body = bytes(range(256)) * 20_000
    expected = b""
    for number in range(3):
        connection.reply(b"short %d\r\n" % number)
        connection.reply(found(number, body))
        expected += b"short %d\r\nFOUND %d %d\r\n%b\r\n" % (number, number, len(body), body)
    assert connection.unsent_bytes == len(expected)
    connection.send()
    assert 0 < connection.unsent_bytes < len(expected)
    connection.reply(b"the end")
    got = read_all(client)
    while connection.unsent_bytes:
        connection.send()
        got += read_all(client)
    assert got == expected + b"the end"


def test_who_reads_late_gets_all_that_was_replied_bit_by_bit(ends: Ends) -> None:
    connection, client = ends
    expected = bytearray(10_000_000)
    connection.reply(bytes(expected))
    for number in range(3 * IOV_MAX):
        connection.send()
        connection.reply(b"%d " % number)
        expected += b"%d " % number
    got = read_all(client)
    while connection.unsent_bytes:
        connection.send()
        got += read_all(client)
    assert got == expected


# --- holding ------------------------------------------------------------------------------------


def test_what_is_held_is_unsent_and_stays_until_it_is_let_go(ends: Ends) -> None:
    connection, client = ends
    connection.reply(b"one ")
    connection.hold(7)
    connection.reply(b"two ")
    connection.hold(9)
    connection.reply(b"three ")
    connection.hold(0)
    assert (connection.unsent_bytes, connection.held_bytes) == (14, 14)
    connection.let_go(8)
    assert (connection.unsent_bytes, connection.held_bytes) == (14, 10)
    connection.send()
    assert read_all(client) == b"one "
    assert (connection.unsent_bytes, connection.held_bytes) == (10, 10)
    connection.let_go(9)
    connection.send()
    assert read_all(client) == b"two three "
    assert (connection.unsent_bytes, connection.held_bytes) == (0, 0)


def test_what_was_sent_in_part_is_not_held(ends: Ends) -> None:
    connection, client = ends
    body = bytes(10_000_000)
    connection.reply(body)
    connection.send()
    rest = connection.unsent_bytes
    assert 0 < rest < len(body)
    connection.reply(b"held")
    connection.hold(1)
    assert (connection.unsent_bytes, connection.held_bytes) == (rest + 4, 4)
    got = 0
    while connection.unsent_bytes > connection.held_bytes:
        got += len(read_all(client))
        connection.send()
    got += len(read_all(client))
    assert got == len(body)
    assert connection.wanted_interest() == READ
    connection.let_go(1)
    connection.send()
    assert read_all(client) == b"held"


def test_what_is_held_can_be_replied_to_otherwise(ends: Ends) -> None:
    connection, client = ends
    connection.reply(b"one ")
    connection.hold(1)
    connection.reply(b"two ")
    connection.hold(2)
    assert connection.take_held() == [b"one ", b"two "]
    assert (connection.unsent_bytes, connection.held_bytes) == (0, 0)
    connection.reply(b"other")
    connection.send()
    assert read_all(client) == b"other"


# --- what it waits for --------------------------------------------------------------------------


def test_a_connection_is_read_from_unless_it_has_nothing_to_say_any_more(ends: Ends) -> None:
    connection, _ = ends
    assert connection.wanted_interest() == READ
    connection.at_end = True
    assert connection.wanted_interest() == 0
    connection.at_end = False
    connection.is_closing = True
    assert connection.wanted_interest() == 0


def test_a_connection_with_unsent_replies_is_written_to_as_well(ends: Ends) -> None:
    connection, _ = ends
    connection.reply(b"x")
    assert connection.wanted_interest() == READ | WRITE
    connection.is_closing = True
    assert connection.wanted_interest() == WRITE
    connection.send()
    assert connection.wanted_interest() == 0


def test_who_waits_is_read_from_until_much_has_come(ends: Ends) -> None:
    connection, _ = ends
    connection.awaits_answer = True
    connection.parser.feed(b"x" * (MAX_UNREAD_BYTES - 1))
    assert connection.wanted_interest() == READ
    connection.parser.feed(b"x")
    assert connection.wanted_interest() == HALF_CLOSED
    connection.is_half_closed = True
    assert connection.wanted_interest() == 0
    connection.awaits_answer = False
    assert connection.wanted_interest() == READ
