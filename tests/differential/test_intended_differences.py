"""Where beanrow answers otherwise than beanstalkd by intention: what it does instead.

The reasons are in docs/compatibility.md. The other tests of this suite leave these cases out.
"""

import socket

import pytest

from tests.peers import RunningServer


def ask(client: socket.socket, request: bytes, end: bytes = b"\r\n") -> bytes:
    client.sendall(request)
    reply = b""
    while not reply.endswith(end):
        arrived = client.recv(1 << 16)
        assert arrived, f"the server closed the connection after {reply!r}"
        reply += arrived
    return reply


def connections(server: RunningServer, count: int) -> list[socket.socket]:
    return [server.connect() for _ in range(count)]


@pytest.mark.parametrize(
    "line",
    [b"list-tube-used\r", b"list-tube-used\rx", b"use a\rb", b"use a\r", b"reserve\r", b"peek 1\r"],
)
def test_a_lone_carriage_return_is_part_of_its_line(
    beanrow_server: RunningServer, line: bytes
) -> None:
    with beanrow_server.connect() as client:
        assert ask(client, line + b"\r\n") == b"BAD_FORMAT\r\n"
        assert ask(client, b"list-tube-used\r\n") == b"USING default\r\n"


def test_a_line_of_carriage_returns_is_an_unknown_command(beanrow_server: RunningServer) -> None:
    with beanrow_server.connect() as client:
        assert ask(client, b"\r\r\n") == b"UNKNOWN_COMMAND\r\n"
        assert ask(client, b"\r\r\r\r\n") == b"UNKNOWN_COMMAND\r\n"


@pytest.mark.parametrize("length", [225, 226, 448, 449, 450, 673])
def test_the_end_of_a_long_line_is_found_wherever_it_is(
    beanrow_server: RunningServer, length: int
) -> None:
    line = b"x" * (length - 2) + b"\r\n"
    with beanrow_server.connect() as client:
        assert ask(client, line) == b"BAD_FORMAT\r\n"
        replies = ask(client, line + b"list-tube-used\r\n", b"default\r\n")
        assert replies == b"BAD_FORMAT\r\nUSING default\r\n"
        client.sendall(line[:-1])
        assert ask(client, line[-1:]) == b"BAD_FORMAT\r\n"


@pytest.mark.parametrize("verb", [b"peek", b"stats-job", b"delete", b"reserve-job", b"kick-job"])
def test_a_job_does_not_exist_before_its_body_has_come(
    beanrow_server: RunningServer, verb: bytes
) -> None:
    with beanrow_server.connect() as putting, beanrow_server.connect() as other:
        putting.sendall(b"put 0 0 100 6\r\nabc")
        # Not known to have been read yet, but nothing depends on that.
        assert ask(other, verb + b" 1\r\n") == b"NOT_FOUND\r\n"
        assert ask(putting, b"def\r\n") == b"INSERTED 1\r\n"
        assert ask(other, b"peek 1\r\n", b"def\r\n") == b"FOUND 1 6\r\nabcdef\r\n"


def test_who_waits_longest_is_served_first(beanrow_server: RunningServer) -> None:
    waiting = connections(beanrow_server, 5)
    with beanrow_server.connect() as putting:
        for number, client in enumerate(waiting):
            client.sendall(b"reserve\r\n")
            wait_for_waiting(putting, number + 1)
        for turn in range(12):
            inserted = ask(putting, b"put 0 0 100 1\r\nx\r\n")
            assert inserted == b"INSERTED %d\r\n" % (turn + 1)
            first = waiting.pop(0)
            assert ask(first, b"", b"x\r\n") == b"RESERVED %d 1\r\nx\r\n" % (turn + 1)
            first.sendall(b"reserve\r\n")
            wait_for_waiting(putting, 5)
            waiting.append(first)
    for client in waiting:
        client.close()


def wait_for_waiting(client: socket.socket, count: int) -> None:
    while b"\ncurrent-waiting: %d\n" % count not in ask(client, b"stats\r\n", b"\n\r\n"):
        pass


def test_a_time_out_is_never_missed(beanrow_server: RunningServer) -> None:
    """beanstalkd misses some of these, and the others get nothing until the holder speaks."""
    holders = connections(beanrow_server, 40)
    with beanrow_server.connect() as putting:
        for number, holder in enumerate(holders, 1):
            ask(putting, b"put 0 0 1 1\r\nx\r\n")
            reserved = ask(holder, b"reserve-job %d\r\n" % number, b"x\r\n")
            assert reserved == b"RESERVED %d 1\r\nx\r\n" % number
    released = set()
    for _ in holders:
        with beanrow_server.connect() as client:
            job_id = ask(client, b"reserve-with-timeout 3\r\n", b"x\r\n").split()[1]
            assert ask(client, b"delete %s\r\n" % job_id) == b"DELETED\r\n"
            released.add(job_id)
    assert len(released) == len(holders)
    for holder in holders:
        holder.close()
