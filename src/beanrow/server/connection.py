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
    * ``is_flushing``: it is on the server's list of those to send to in this tick.
    """

    __slots__ = (
        "_partly_sent",
        "at_end",
        "awaits_answer",
        "fd",
        "interest",
        "is_closing",
        "is_flushing",
        "name",
        "parser",
        "replies",
        "session",
        "socket",
        "unsent_bytes",
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
        self.replies: list[bytes] = []
        self.unsent_bytes = 0
        self.interest = READ
        self.awaits_answer = False
        self.at_end = False
        self.is_closing = False
        self.is_flushing = False
        self._partly_sent: memoryview | None = None

    def may_execute(self) -> bool:
        """Whether its next command may be executed now."""
        return not (self.awaits_answer or self.is_closing or self.unsent_bytes >= MAX_UNSENT_BYTES)

    def wanted_interest(self) -> int:
        """What the loop should watch its socket for."""
        wanted = WRITE if self.unsent_bytes else 0
        if not (self.at_end or self.is_closing) and (
            self.may_execute() or self.parser.waiting_bytes() < MAX_UNREAD_BYTES
        ):
            wanted |= READ
        return wanted

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
        """Send as much as the socket takes.

        Raises `OSError` when the connection broke.
        """
        unsent = self._partly_sent
        try:
            if unsent is not None:
                sent = self.socket.send(unsent)
                self.unsent_bytes -= sent
                if sent < len(unsent):
                    self._partly_sent = unsent[sent:]
                    return
                self._partly_sent = None
            if self.replies:
                data = self.replies[0] if len(self.replies) == 1 else b"".join(self.replies)
                self.replies.clear()
                self._partly_sent = memoryview(data)
                sent = self.socket.send(data)
                self.unsent_bytes -= sent
                self._partly_sent = memoryview(data)[sent:] if sent < len(data) else None
        except (BlockingIOError, InterruptedError):
            pass
