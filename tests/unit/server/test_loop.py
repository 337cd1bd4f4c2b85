"""The loop tells what is ready, sleeps otherwise, and can be woken."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from beanrow.server.loop import GONE, MAX_EVENTS, READ, WRITE, Loop, SelectorPoller

#: A minute: a wait that has to end early would otherwise fail the test by its time limit.
LONG_NS = 60 * 1_000_000_000

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["epoll", "selectors"])
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    """Both kinds: the one of this system, and the one for all others."""
    if request.param == "epoll" and sys.platform != "linux":
        pytest.skip("no epoll here")
    loop = Loop(SelectorPoller() if request.param == "selectors" else None)
    yield loop
    loop.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends of a connection."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def fill(sock: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(b"x" * 65536)


# --- readiness ----------------------------------------------------------------------------------


def test_nothing_is_ready_at_first(loop: Loop, pair: Pair) -> None:
    loop.add(pair[0].fileno(), READ)
    assert loop.wait(0) == []
    assert loop.wait(-1) == []


def test_of_very_many_that_are_ready_all_the_time_each_is_told(loop: Loop) -> None:
    with contextlib.ExitStack() as stack:
        ready = set()
        for _ in range(3 * MAX_EVENTS):
            ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
            theirs.send(b"x")
            loop.add(ours.fileno(), READ)
            ready.add(ours.fileno())
        told = {fd for _ in range(4) for fd, _ in loop.wait(0)}
        assert told == ready


def test_what_came_can_be_read_and_is_told_until_it_is(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair
    loop.add(ours.fileno(), READ)
    theirs.send(b"x")
    assert loop.wait(LONG_NS) == [(ours.fileno(), READ)]
    assert loop.wait(LONG_NS) == [(ours.fileno(), READ)]
    ours.recv(1)
    assert loop.wait(0) == []


def test_only_what_was_asked_for_is_told(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"x")
    loop.add(ours.fileno(), READ)
    assert loop.wait(LONG_NS) == [(ours.fileno(), READ)]
    loop.change(ours.fileno(), WRITE)
    assert loop.wait(LONG_NS) == [(ours.fileno(), WRITE)]
    loop.change(ours.fileno(), READ | WRITE)
    assert loop.wait(LONG_NS) == [(ours.fileno(), READ | WRITE)]
    loop.change(ours.fileno(), 0)
    assert loop.wait(0) == []
    loop.change(ours.fileno(), READ)
    assert loop.wait(LONG_NS) == [(ours.fileno(), READ)]


def test_what_was_removed_is_told_no_more(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"x")
    for interest in (READ, 0, WRITE):
        loop.add(ours.fileno(), interest)
        loop.remove(ours.fileno())
        assert loop.wait(0) == []


def test_a_full_socket_can_be_written_when_there_is_room_again(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair
    fill(ours)
    loop.add(ours.fileno(), WRITE)
    assert loop.wait(0) == []
    while loop.wait(0) == []:
        theirs.recv(1 << 20)
    assert loop.wait(LONG_NS) == [(ours.fileno(), WRITE)]


def test_of_many_all_that_are_ready_are_told(loop: Loop) -> None:
    pairs = [socket.socketpair() for _ in range(20)]
    for ours, theirs in pairs:
        loop.add(ours.fileno(), READ)
        theirs.send(b"x")
    expected = sorted((ours.fileno(), READ) for ours, _ in pairs)
    assert sorted(loop.wait(LONG_NS)) == expected
    for pair in pairs:
        for sock in pair:
            sock.close()


# --- the other side is gone ---------------------------------------------------------------------


def test_who_reads_learns_that_the_other_side_closed(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair
    loop.add(ours.fileno(), READ)
    theirs.close()
    ((fd, ready),) = loop.wait(LONG_NS)
    assert fd == ours.fileno()
    assert ready & READ
    assert ours.recv(1) == b""


@pytest.mark.skipif(sys.platform != "linux", reason="selectors tell it only to those who read")
@pytest.mark.parametrize("interest", [0, READ, WRITE])
def test_epoll_tells_of_it_whether_asked_or_not(pair: Pair, interest: int) -> None:
    ours, theirs = pair
    loop = Loop()
    loop.add(ours.fileno(), interest)
    theirs.close()
    ((fd, ready),) = loop.wait(LONG_NS)
    assert fd == ours.fileno()
    assert ready & GONE
    loop.close()


# --- time ---------------------------------------------------------------------------------------


def test_a_wait_ends_when_its_time_has_passed_and_not_before(loop: Loop) -> None:
    for timeout_ns in (1, 999_999, 5_000_001):
        before_ns = time.monotonic_ns()
        assert loop.wait(timeout_ns) == []
        assert time.monotonic_ns() - before_ns >= timeout_ns


def test_a_wait_for_ever_is_not_too_much_for_the_system(loop: Loop) -> None:
    loop.wake()
    assert len(loop.wait(1 << 62)) == 1


# --- waking -------------------------------------------------------------------------------------


def is_woken(loop: Loop, added: list[int], timeout_ns: int = LONG_NS) -> bool:
    """Whether a wait tells of a descriptor that was never added."""
    woken = any(fd not in added for fd, _ in loop.wait(timeout_ns))
    loop.clear_wakes()
    return woken


def test_a_wake_ends_the_next_wait_and_only_that(loop: Loop) -> None:
    loop.wake()
    loop.wake()
    assert is_woken(loop, [])
    assert loop.wait(0) == []


def test_a_wake_ends_the_wait_that_is_under_way(loop: Loop) -> None:
    waker = threading.Timer(0.01, loop.wake)
    waker.start()
    assert is_woken(loop, [])
    waker.join()


def test_a_wake_hides_nothing_else(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair
    loop.add(ours.fileno(), READ)
    theirs.send(b"x")
    loop.wake()
    events = loop.wait(LONG_NS)
    assert (ours.fileno(), READ) in events
    assert len(events) == 2


def test_waking_without_end_neither_blocks_nor_fails(loop: Loop) -> None:
    for _ in range(100_000):
        loop.wake()
    assert is_woken(loop, [])
    assert loop.wait(0) == []


def test_clearing_what_was_not_woken_does_nothing(loop: Loop) -> None:
    loop.clear_wakes()
    assert loop.wait(0) == []


def test_waking_a_loop_that_is_closed_does_nothing() -> None:
    """The second of two signals, or another thread, may well come too late."""
    loop = Loop()
    loop.close()
    loop.wake()


def test_a_signal_handler_can_wake(loop: Loop) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: loop.wake())
    sender = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        sender.start()
        assert is_woken(loop, [])
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_wakes_by_its_descriptor_though_its_handler_does_nothing(loop: Loop) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    before_fd = signal.set_wakeup_fd(loop.wakeup_fd())
    sender = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        sender.start()
        assert is_woken(loop, [])
        sender.join()
    finally:
        signal.set_wakeup_fd(before_fd)
        signal.signal(signal.SIGUSR1, before)
