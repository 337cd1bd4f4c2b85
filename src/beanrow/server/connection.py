"""One client: its socket, what came from it, and what has to go out to it."""

from __future__ import annotations

import socket
from typing import Final

from beanrow.engine.session import Session
from beanrow.protocol.parser import Parser
from beanrow.server.loop import HALF_CLOSED, READ, WRITE

#: How much is read from one client at once: enough for hundreds of small commands, or half a body
#: of the largest usual size.
RECEIVE_BYTES: Final = 32 * 1024

#: With so much unsent, a client's further commands have to wait until it reads its replies.
MAX_UNSENT_BYTES: Final = 256 * 1024

#: So much is taken in from a client whose commands have to wait.
MAX_UNREAD_BYTES: Final = 64 * 1024


class Connection:
    """The buffers and states of one client.

    * ``awaits_answer``: it waits in a reserve, so what it sent after it has to wait too.
    * ``waits_for_reader``: so much is unsent that its commands wait until it reads.
    * ``has_commands``: its next turn begins with what it has sent already, not with reading.
    * ``has_turn``: it is in the line of those whose turn comes.
    * ``is_flushing``: it is on the list of those to send to in this tick.
    * ``is_half_closed``: it will send no more, though what it has sent may not be read yet.
    * ``at_end``: all that it sent has been read.
    * ``is_closing``: nothing more is executed; it is closed when its replies are out.
    * ``is_closed``: that has happened, or the connection broke.
    """

    __slots__ = (
        "at_end",
        "awaits_answer",
        "fd",
        "has_commands",
        "has_turn",
        "interest",
        "is_closed",
        "is_closing",
        "is_flushing",
        "is_half_closed",
        "name",
        "parser",
        "replies",
        "session",
        "socket",
        "unsent_bytes",
        "waits_for_reader",
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
        self.waits_for_reader = False
        self.has_commands = False
        self.has_turn = False
        self.is_flushing = False
        self.is_half_closed = False
        self.at_end = False
        self.is_closing = False
        self.is_closed = False

    def wanted_interest(self) -> int:
        """What the loop should watch its socket for."""
        wanted = WRITE if self.unsent_bytes else 0
        if self.at_end or self.is_closing:
            return wanted
        if (
            self.awaits_answer or self.waits_for_reader
        ) and self.parser.waiting_bytes() >= MAX_UNREAD_BYTES:
            # It is not read, but a client that waits for a job must not be missed when it leaves.
            return wanted if self.is_half_closed else wanted | HALF_CLOSED
        return wanted | READ

    def receive(self) -> None:
        """Read once from the socket, if there is anything.

        Raises `OSError` when the connection broke.
        """
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        if data:
            self.parser.feed(data)
        else:
            self.is_half_closed = self.at_end = True

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
