"""Lets clients in, and waits when there is no room for them."""

from __future__ import annotations

import errno
import logging
import socket
from typing import Final

from beanrow.engine.timers import NEVER_NS
from beanrow.protocol.limits import NS_PER_S
from beanrow.server.listeners import address_name
from beanrow.server.loop import READ, Loop

log = logging.getLogger("beanrow.server")

#: How many clients are let in at each listener in one tick.
ACCEPTS_PER_TICK: Final = 64

#: Without room for new clients, it is looked for again so often, and said so often.
RETRY_NS: Final = NS_PER_S

_NO_ROOM: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC}

#: What shows that the listener itself is of no use, rather than one of those who knock.
_BROKEN: Final = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EFAULT}


class Acceptor:
    """The listening sockets. It owns them, and watches them while there is room."""

    def __init__(self, loop: Loop, listeners: list[socket.socket]) -> None:
        self._loop = loop
        self._listeners: dict[int, socket.socket] = {}
        for listener in listeners:
            _prepare(listener)
            self._listeners[listener.fileno()] = listener
            loop.add(listener.fileno(), 0)
        self._watches = False
        #: When to call `start` again; `NEVER_NS` while clients are let in.
        self.retry_ns = NEVER_NS
        self._silent_until_ns = 0

    def start(self) -> None:
        """Let clients in from now on, if they are not already."""
        self.retry_ns = NEVER_NS
        if not self._watches:
            self._watches = True
            for fd in self._listeners:
                self._loop.change(fd, READ)

    def owns(self, fd: int) -> bool:
        """Whether a descriptor is a listener's."""
        return fd in self._listeners

    def accept(self, fd: int, now_ns: int) -> list[tuple[socket.socket, str]]:
        """Take those who wait at a listener: their sockets, and their addresses for people."""
        listener = self._listeners[fd]
        accepted: list[tuple[socket.socket, str]] = []
        while self._watches and len(accepted) < ACCEPTS_PER_TICK:
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if error.errno in _BROKEN:
                    raise
                if error.errno in _NO_ROOM:
                    self.wait_for_room(error, now_ns)
                else:
                    # accept(2): errors of the network come up here, and mean one client.
                    self._complain("a client could not be accepted: %s", error, now_ns)
                break
            sock.setblocking(False)
            accepted.append((sock, address_name(address)))
        return accepted

    def wait_for_room(self, error: OSError | MemoryError, now_ns: int) -> None:
        """Leave new clients in the kernel's queue; their readiness would be reported for ever."""
        self._complain("no room for more clients: %s; see the limit of open files", error, now_ns)
        self.retry_ns = now_ns + RETRY_NS
        if self._watches:
            self._watches = False
            for fd in self._listeners:
                # Not removed: there may be no room to add it again.
                self._loop.change(fd, 0)

    def close(self) -> None:
        """Let nobody in any more."""
        self._watches = False
        self.retry_ns = NEVER_NS
        while self._listeners:
            fd, listener = self._listeners.popitem()
            self._loop.remove(fd)
            listener.close()

    def _complain(self, message: str, error: OSError | MemoryError, now_ns: int) -> None:
        if now_ns >= self._silent_until_ns:
            self._silent_until_ns = now_ns + RETRY_NS
            why = error.strerror if isinstance(error, OSError) else "out of memory"
            log.warning(message, why)


def _prepare(listener: socket.socket) -> None:
    """Set what the sockets of its clients inherit."""
    listener.setblocking(False)
    if listener.family != socket.AF_UNIX:
        # A reply must not wait until the client has acknowledged the one before it.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A client whose machine vanished gives its jobs back some day.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
