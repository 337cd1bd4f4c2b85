"""One client: its socket, what came from it, and what has to go out to it."""

from __future__ import annotations

import socket
from typing import Final

from beanrow.engine.session import Session
from beanrow.protocol.parser import Parser
from beanrow.server.loop import READ, WRITE

#: How much is read from one client in one tick: enough for hundreds of small commands, little
#: enough that no client holds up the others for more than a few milliseconds.
RECEIVE_BYTES: Final = 32 * 1024

#: With so much unsent, a client's further commands have to wait until it reads its replies.
MAX_UNSENT_BYTES: Final = 256 * 1024

#: So much is taken in from a client whose commands have to wait.
MAX_UNREAD_BYTES: Final = 64 * 1024


class Connection:
    """The buffers and states of one client.

    * ``awaits_answer``: it waits in a reserve, so what it sent after it has to wait too.
    * ``at_end``: it will send no more (it closed its side), but may still read.
    * ``is_closing``: nothing more is executed; it is closed when its replies are out.
    * ``is_closed``: that has happened, or the connection broke.
    * ``is_flushing``: it is on the server's list of those to send to in this tick.
    * ``was_stopped``: it has commands left that wait until it reads its replies.
    """

    __slots__ = (
        "at_end",
        "awaits_answer",
        "fd",
        "interest",
        "is_closed",
        "is_closing",
        "is_flushing",
        "name",
        "parser",
        "replies",
        "session",
        "socket",
        "unsent_bytes",
        "was_stopped",
    )

    def __init__(
        self, sock: socket.socket, name: str, session: Session, max_job_bytes: int
    ) -> None:
        self.socket = sock
        self.fd = sock.fileno()
        #: For people, in logs.
        self.name = name
        self.session = session
        self.parser = Parser(max_job_bytes)
        self.replies: list[bytes | memoryview] = []
        self.unsent_bytes = 0
        self.interest = READ
        self.awaits_answer = False
        self.at_end = False
        self.is_closing = False
        self.is_closed = False
        self.is_flushing = False
        self.was_stopped = False

    def wanted_interest(self) -> int:
        """What the loop should watch its socket for."""
        is_full = (
            self.awaits_answer or self.was_stopped
        ) and self.parser.waiting_bytes() >= MAX_UNREAD_BYTES
        wanted = 0 if self.at_end or self.is_closing or is_full else READ
        return wanted | WRITE if self.unsent_bytes else wanted

    def receive(self) -> bool:
        """Read once from the socket; True if anything came, be it the end.

        Raises `OSError` when the connection broke.
        """
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        if data:
            self.parser.feed(data)
        else:
            self.at_end = True
        return True

    def reply(self, reply: bytes) -> None:
        """Put a reply behind those that go out at the end of the tick."""
        self.replies.append(reply)
        self.unsent_bytes += len(reply)

    def send(self) -> None:
        """Send as much as the socket takes; there must be something to send.

        Raises `OSError` when the connection broke.
        """
        replies = self.replies
        data = replies[0] if len(replies) == 1 else b"".join(replies)
        try:
            sent = self.socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        self.unsent_bytes -= sent
        replies.clear()
        if self.unsent_bytes:
            replies.append(memoryview(data)[sent:])
