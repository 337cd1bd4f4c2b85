"""Both clients when the other side misbehaves: they say so, and never read another's reply."""

import math
import signal
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest

import beanrow
from beanrow import Connection
from tests.e2e.both_clients import CLIENTS, Connect
from tests.e2e.misbehaving import answering, misbehaving
from tests.peers import free_port

#: The client is the same in both builds.
pytestmark = pytest.mark.any_build


@pytest.fixture(params=CLIENTS.values(), ids=list(CLIENTS))
def connect(request: pytest.FixtureRequest) -> Connect:
    found: Connect = request.param
    return found


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "not a reply: b'HTTP/1.1 400"),
        (b"INSERTED 1\r\n", "answered INSERTED, which makes no sense here"),
        (b"USING a\r\nUSING b\r\n", "more than one reply"),
        (b"x" * 300, "not a reply"),
    ],
)
def test_a_reply_that_makes_no_sense_ends_the_connection(
    reply: bytes, message: str, connect: Connect
) -> None:
    with misbehaving(answering(reply)) as port, connect(port=port) as queue:
        with pytest.raises(beanrow.ProtocolError, match=message):
            queue.using()
        with pytest.raises(beanrow.ConnectionClosed, match=message):
            queue.using()


def test_a_body_without_end_ends_the_connection(connect: Connect) -> None:
    with misbehaving(answering(b"OK 99999999999\r\n")) as port, connect(port=port) as queue:
        with pytest.raises(beanrow.ProtocolError, match="99999999999 bytes"):
            queue.tubes()
        assert queue.closed


@pytest.mark.parametrize("document", [b"---\n", b"nonsense\n", b"---\nid: high\n"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda queue: queue.stats(),
        lambda queue: queue.stats_tube("a"),
        lambda queue: queue.stats_job(1),
    ],
)
def test_stats_that_make_no_sense_end_the_connection(
    ask: Callable[[Connection], object], document: bytes, connect: Connect
) -> None:
    reply = b"OK %d\r\n%b\r\n" % (len(document), document)
    with misbehaving(answering(reply)) as port, connect(port=port) as queue:
        with pytest.raises(beanrow.ProtocolError):
            ask(queue)
        assert queue.closed


def test_what_comes_unasked_is_no_answer(connect: Connect) -> None:
    def behave(accepted: socket.socket) -> None:
        accepted.sendall(b"INSERTED 99\r\n")
        sent.set()
        received.append(accepted.recv(100))

    sent, received = threading.Event(), list[bytes]()
    with misbehaving(behave) as port, connect(port=port) as queue:
        sent.wait()
        with pytest.raises(beanrow.ProtocolError, match=r"^put .*: not sent, .* spoke unasked"):
            queue.put("a")
        assert queue.closed
    assert received == [b""]


@pytest.mark.parametrize("abruptly", [False, True])
def test_a_connection_that_has_ended_is_noticed_before_a_put(
    abruptly: bool, connect: Connect
) -> None:
    def behave(accepted: socket.socket) -> None:
        connected.wait()  # a reset that comes earlier is a connection never made
        if abruptly:
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        ended.set()

    connected, ended = threading.Event(), threading.Event()
    with misbehaving(behave) as port, connect(port=port) as queue:
        connected.set()
        ended.wait()
        with pytest.raises(beanrow.ConnectionLost, match=r"^put .*: not sent, since "):
            queue.put("a")
        assert queue.closed


@pytest.mark.parametrize("reply", [b"", b"USING a", b"USING a\r"])
def test_a_server_that_falls_silent_is_given_up(reply: bytes, connect: Connect) -> None:
    behave = answering(reply)
    with misbehaving(behave) as port, connect(port=port, io_timeout=0.1) as queue:
        with pytest.raises(beanrow.IOTimeout, match=r"io_timeout is 0\.1 s"):
            queue.use("a")
        with pytest.raises(beanrow.ConnectionClosed, match="open a new one"):
            queue.use("b")


def test_the_time_out_of_reserve_is_added_to_the_servers(connect: Connect) -> None:
    def behave(accepted: socket.socket) -> None:
        accepted.recv(100)
        if not late.wait(0.5):
            accepted.sendall(b"TIMED_OUT\r\n")

    late = threading.Event()
    with misbehaving(behave) as port, connect(port=port, io_timeout=0.1) as queue:
        assert queue.reserve(timeout=1) is None
    late.set()


def test_a_connection_lost_in_the_middle_of_a_reply_is_told(connect: Connect) -> None:
    def behave(accepted: socket.socket) -> None:
        accepted.recv(100)
        accepted.sendall(b"OK 10\r\n---")
        accepted.shutdown(socket.SHUT_RDWR)

    with misbehaving(behave) as port, connect(port=port) as queue:
        with pytest.raises(beanrow.ConnectionLost, match="closed the connection before the reply"):
            queue.tubes()
        assert queue.closed


def test_a_server_that_stops_reading_is_given_up(connect: Connect) -> None:
    behave = answering()
    with misbehaving(behave) as port, connect(port=port, io_timeout=0.1) as queue:
        with pytest.raises(beanrow.IOTimeout):
            queue.put(b"x" * 50_000_000)
        assert queue.closed


def test_an_interrupted_exchange_ends_the_connection() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with misbehaving(answering()) as port, Connection(port=port) as queue:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(KeyboardInterrupt):
                queue.reserve()
            with pytest.raises(beanrow.ConnectionClosed, match="KeyboardInterrupt"):
                queue.stats()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_quit_waits_only_as_long_as_told(connect: Connect) -> None:
    with misbehaving(answering()) as port, connect(port=port, io_timeout=0.1) as queue:
        with pytest.raises(beanrow.IOTimeout):
            queue.quit()
        assert queue.closed


def test_a_port_where_nobody_listens_is_named(connect: Connect) -> None:
    port = free_port()
    with pytest.raises(beanrow.ConnectionFailed, match=f"cannot connect to 127.0.0.1:{port}: "):
        connect(port=port)


def test_a_unix_path_where_nobody_listens_is_named(connect: Connect) -> None:
    with pytest.raises(beanrow.ConnectionFailed, match="cannot connect to unix:/nowhere: "):
        connect("unix:/nowhere")


def test_a_server_too_busy_to_accept_is_given_up(connect: Connect) -> None:
    # A full backlog: Linux then ignores further attempts, as a lost host would.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", port)),
            pytest.raises(beanrow.ConnectionFailed, match=r"no answer within 0\.2 s"),
        ):
            connect(port=port, connect_timeout=0.2)


@pytest.mark.parametrize("timeout", [0, -1, math.nan, "5"])
def test_a_time_out_that_is_none_is_refused(timeout: Any, connect: Connect) -> None:
    with pytest.raises(beanrow.InvalidArgument, match=f"connect_timeout: {timeout!r}"):
        connect(connect_timeout=timeout)
    with pytest.raises(beanrow.InvalidArgument, match=f"io_timeout: {timeout!r}"):
        connect(io_timeout=timeout)


@pytest.mark.parametrize("timeout", [1e10, math.inf, 2**64])
def test_a_time_out_beyond_all_counting_is_none(timeout: float, connect: Connect) -> None:
    behave = answering(b"USING a\r\n", b"TIMED_OUT\r\n")
    with (
        misbehaving(behave) as port,
        connect(port=port, connect_timeout=timeout, io_timeout=timeout) as queue,
    ):
        assert queue.using() == "a"
        assert queue.reserve(timeout=1) is None
