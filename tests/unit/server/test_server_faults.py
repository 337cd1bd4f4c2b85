"""What goes wrong with one client, or with the system for a moment, ends nobody else."""

import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from beanrow.protocol.limits import NS_PER_S
from beanrow.server.acceptor import Acceptor
from beanrow.server.connection import MAX_UNREAD_BYTES
from beanrow.server.loop import EpollPoller, Loop
from tests.unit.server.in_process_server import Serving

NOW_NS: Final = 1_000 * NS_PER_S


class FailingListener(socket.socket):
    """A real listener, whose next accepts fail with these errors, as accept(2) may."""

    def __init__(self, *errors: int) -> None:
        super().__init__()
        self._errors = list(errors)
        self.bind(("127.0.0.1", 0))
        self.listen()

    def accept(self) -> tuple[socket.socket, Any]:
        if self._errors:
            number = self._errors.pop(0)
            raise OSError(number, errno.errorcode[number])
        return super().accept()


class FullPoller:
    """An epoll that watches no more than so many descriptors, as the kernel's has a limit."""

    def __init__(self, room: int) -> None:
        self.room = room
        epoll = EpollPoller()
        self.change, self.poll, self.close = epoll.change, epoll.poll, epoll.close
        self._epoll = epoll

    def add(self, fd: int, interest: int) -> None:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= 1
        self._epoll.add(fd, interest)

    def remove(self, fd: int) -> None:
        self.room += 1
        self._epoll.remove(fd)


@contextmanager
def accepting(listener: socket.socket) -> Iterator[Acceptor]:
    loop = Loop()
    acceptor = Acceptor(loop, [listener])
    acceptor.start()
    yield acceptor
    acceptor.close()
    loop.close()


@pytest.mark.parametrize("name", ["EPERM", "EPROTO", "ENETDOWN", "EHOSTUNREACH", "ECONNABORTED"])
def test_a_client_that_fails_to_arrive_keeps_nobody_out(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    listener = FailingListener(getattr(errno, name))
    with (
        accepting(listener) as acceptor,
        socket.create_connection(listener.getsockname()) as client,
    ):
        assert acceptor.accept(listener.fileno(), NOW_NS) == []
        ((accepted, address),) = acceptor.accept(listener.fileno(), NOW_NS)
        assert address == "{}:{}".format(*client.getsockname())
        accepted.close()
    assert name in caplog.text


def test_a_listener_that_is_broken_is_not_passed_over() -> None:
    listener = FailingListener(errno.EBADF)
    with accepting(listener) as acceptor, pytest.raises(OSError, match="EBADF"):
        acceptor.accept(listener.fileno(), NOW_NS)


def test_a_want_of_descriptors_is_said_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    listener = FailingListener(*[errno.EMFILE] * 100)
    with accepting(listener) as acceptor:
        for attempt in range(100):
            moment_ns = NOW_NS + attempt * NS_PER_S // 50
            assert acceptor.accept(listener.fileno(), moment_ns) == []
            acceptor.start()  # as when a client has left
    assert len(caplog.records) == 2


def test_a_client_that_can_not_be_watched_is_turned_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # The loop's own descriptor, the listener, the nudger, and one client.
    with Serving(loop=Loop(FullPoller(room=4))) as serving:
        first = serving.connect()
        first.ask(b"list-tube-used\r\n", b"USING default\r\n")
        with caplog.at_level(logging.WARNING):
            serving.connect().expect_end()
            serving.nudge()
        assert "no room for more clients: No space left on device" in caplog.text
        first.close()
        serving.nudge()
        serving.connect().ask(b"list-tube-used\r\n", b"USING default\r\n")


def test_the_listener_keeps_its_place_while_there_is_no_room() -> None:
    """Others may take every place that becomes free meanwhile."""
    poller = FullPoller(room=4)
    with Serving(loop=Loop(poller)) as serving:
        first = serving.connect()
        first.ask(b"list-tube-used\r\n", b"USING default\r\n")
        serving.connect().expect_end()
        serving.nudge()
        poller.room = -1  # the place of the one who leaves now is taken at once
        first.close()
        serving.nudge()
        poller.room = 1
        serving.connect().ask(b"list-tube-used\r\n", b"USING default\r\n")


class TestOneWhoWaitsWithMuchUnread:
    """Its socket is not read from any more, and yet it must be missed when it leaves."""

    def test_its_half_close_ends_its_wait(self) -> None:
        with Serving() as serving:
            client = serving.connect()
            client.say(b"reserve\r\n" + b"x" * 2 * MAX_UNREAD_BYTES)
            serving.nudge()
            assert serving.says_nothing_to(client)
            client.say_no_more()
            client.expect(b"TIMED_OUT\r\n")
            client.expect_end()

    def test_every_later_wait_ends_at_once_too(self) -> None:
        with Serving() as serving:
            client = serving.connect()
            client.say(b"reserve\r\nreserve\r\n" + b"list-tube-used\r\n" * 5000 + b"reserve\r\n")
            serving.nudge()
            client.say_no_more()
            client.expect(b"TIMED_OUT\r\n" * 2, b"USING default\r\n" * 5000, b"TIMED_OUT\r\n")
            client.expect_end()

    def test_when_it_is_gone_it_waits_no_more(self) -> None:
        with Serving() as serving:
            client, other = serving.connect(), serving.connect()
            client.say(b"reserve\r\n" + b"x" * 2 * MAX_UNREAD_BYTES)
            serving.nudge()
            client.close()
            for _ in range(100):
                if other.document(b"stats\r\n")[b"current-waiting"] == b"0":
                    break
            assert other.document(b"stats\r\n")[b"current-waiting"] == b"0"


def test_at_a_stop_nobody_gets_the_jobs_of_those_who_are_closed_before_him() -> None:
    with Serving() as serving:
        holder = serving.connect()
        holder.ask(b"put 0 0 60 4\r\nwork\r\n", b"INSERTED 1\r\n")
        holder.ask(b"reserve\r\n", b"RESERVED 1 4\r\nwork\r\n")
        waiters = [serving.connect() for _ in range(10)]
        for waiter in waiters:
            waiter.say(b"reserve\r\n")
        serving.nudge()
        serving.stop()
        for waiter in waiters:
            waiter.expect_end()
