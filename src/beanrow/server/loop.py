"""Readiness, and nothing else: which descriptors can be read or written.

epoll where there is one; elsewhere the best that `selectors` has, behind the same methods.
"""

from __future__ import annotations

import contextlib
import select
import selectors
import socket
import sys
from collections.abc import Callable
from typing import Final, Protocol

from beanrow.protocol.limits import NS_PER_S

# epoll's own values, so that its events need no translation.
READ: Final = 1
WRITE: Final = 4
#: The other side will send no more. Only epoll tells it without reading.
HALF_CLOSED: Final = 0x2000
#: The other side is gone, or the descriptor broke. epoll tells it whether asked or not; elsewhere
#: the descriptor is readable or writable then.
GONE: Final = 8 | 16

#: How many descriptors one wait reports at most; the others come with the next. With 500 clients,
#: ticks of so many take a little less than ticks of all: what they touch stays in the caches.
MAX_EVENTS: Final = 64

#: A wait never takes longer, so that times too far off for the system call need no thought.
MAX_WAIT_NS: Final = 3600 * NS_PER_S


class Loop:
    """Watches descriptors. `wake` ends a wait early, and is safe in a signal handler."""

    __slots__ = ("_poll", "_poller", "_wake_receiver", "_wake_sender")

    def __init__(self, poller: Poller | None = None) -> None:
        if poller is None:
            poller = EpollPoller() if sys.platform == "linux" else SelectorPoller()
        self._poller: Poller = poller
        self._poll = poller.poll
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._poller.add(self._wake_receiver.fileno(), READ)

    def add(self, fd: int, interest: int) -> None:
        """Watch a descriptor for `READ`, `WRITE` and `HALF_CLOSED`. Raises `OSError`."""
        self._poller.add(fd, interest)

    def change(self, fd: int, interest: int) -> None:
        """Watch a descriptor for something else; 0 leaves only `GONE`."""
        self._poller.change(fd, interest)

    def remove(self, fd: int) -> None:
        """Watch a descriptor no more. To be called before it is closed."""
        self._poller.remove(fd)

    def wait(self, timeout_ns: int) -> list[tuple[int, int]]:
        """The descriptors that are ready, and for what; [] when the time has passed.

        One that was never added says that `wake` was called; then call `clear_wakes`.
        """
        if timeout_ns < 0:
            timeout_ns = 0
        elif timeout_ns > MAX_WAIT_NS:
            timeout_ns = MAX_WAIT_NS
        return self._poll(timeout_ns * 1e-9, MAX_EVENTS)

    def wake(self) -> None:
        """Make the wait that is under way, or the next one, return at once."""
        # It may be full of wakes already; or closed, and then there is nobody to wake.
        with contextlib.suppress(OSError):
            self._wake_sender.send(b"\0")

    def clear_wakes(self) -> None:
        """Forget the calls of `wake` so far."""
        with contextlib.suppress(BlockingIOError):
            while self._wake_receiver.recv(4096):
                pass

    def wakeup_fd(self) -> int:
        """For `signal.set_wakeup_fd`: a signal then ends the wait, whenever it comes."""
        return self._wake_sender.fileno()

    def close(self) -> None:
        self._poller.close()
        self._wake_receiver.close()
        self._wake_sender.close()


class Poller(Protocol):
    """What a loop asks the system."""

    def add(self, fd: int, interest: int) -> None: ...
    def change(self, fd: int, interest: int) -> None: ...
    def remove(self, fd: int) -> None: ...
    def close(self) -> None: ...

    @property
    def poll(self) -> Callable[[float, int], list[tuple[int, int]]]:
        """Wait so many seconds for so many descriptors, about."""


class EpollPoller:
    """Linux's epoll."""

    __slots__ = ("_epoll", "poll")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        # It rounds up to milliseconds: waking too early would only mean to wait again.
        self.poll = self._epoll.poll

    def add(self, fd: int, interest: int) -> None:
        self._epoll.register(fd, interest)

    def change(self, fd: int, interest: int) -> None:
        self._epoll.modify(fd, interest)

    def remove(self, fd: int) -> None:
        self._epoll.unregister(fd)

    def close(self) -> None:
        self._epoll.close()


class SelectorPoller:
    """`selectors` knows no interest in nothing: such a descriptor is kept aside."""

    __slots__ = ("_idle", "_selector")

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._idle: set[int] = set()

    def add(self, fd: int, interest: int) -> None:
        if interest & (READ | WRITE):
            self._selector.register(fd, _to_selectors(interest))
        else:
            self._idle.add(fd)

    def change(self, fd: int, interest: int) -> None:
        self.remove(fd)
        self.add(fd, interest)

    def remove(self, fd: int) -> None:
        if fd in self._idle:
            self._idle.remove(fd)
        else:
            self._selector.unregister(fd)

    def poll(self, timeout_s: float, most: int) -> list[tuple[int, int]]:
        # More than `most` at times: of what is ready again and again, the last would never come.
        return [(key.fd, _from_selectors(ready)) for key, ready in self._selector.select(timeout_s)]

    def close(self) -> None:
        self._selector.close()


def _to_selectors(interest: int) -> int:
    return (selectors.EVENT_READ if interest & READ else 0) | (
        selectors.EVENT_WRITE if interest & WRITE else 0
    )


def _from_selectors(ready: int) -> int:
    return (READ if ready & selectors.EVENT_READ else 0) | (
        WRITE if ready & selectors.EVENT_WRITE else 0
    )
