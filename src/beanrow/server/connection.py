"""One client: its socket, what came from it, and what has to go out to it.

A reply is in one of three places, through which all go in the same order: in ``replies`` when it
may leave, in ``held`` while it waits for the journal, and in the rest of what was sent in part.
Long bodies are in none of them: they go out from where the queue keeps them.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Final

from beanrow.engine.session import Session
from beanrow.protocol.limits import DEFAULT_MAX_JOB_BYTES
from beanrow.protocol.parser import Parser
from beanrow.protocol.replies import LongReply, wire_pieces
from beanrow.server.loop import HALF_CLOSED, READ, WRITE

#: How much is read from one client at once: enough for hundreds of small commands, or for a put
#: with the largest body that a server takes if not told otherwise.
RECEIVE_BYTES: Final = DEFAULT_MAX_JOB_BYTES + 1024

#: With so much unsent, a client's further commands have to wait until it reads its replies.
MAX_UNSENT_BYTES: Final = 256 * 1024

#: So many pieces are sent in one call; the system takes 1,024 at most.
MAX_PIECES: Final = 64

#: So much is taken in from a client whose commands have to wait.
MAX_UNREAD_BYTES: Final = 64 * 1024


class HeldReplies:
    """Replies that may leave as soon as the journal is durable up to a position."""

    __slots__ = ("position", "replies")

    def __init__(self, position: int, replies: list[bytes | LongReply]) -> None:
        self.position = position
        self.replies = replies


class Connection:
    """The buffers and states of one client.

    * ``awaits_answer``: it waits in a reserve, so what it sent after it has to wait too.
    * ``waits_for_reader``: so much is unsent that its commands wait until it reads.
    * ``has_changes``: among its replies of this tick are some that acknowledge changes.
    * ``has_commands``: its next turn begins with what it has sent already, not with reading.
    * ``has_turn``: it is in the line of those whose turn comes.
    * ``is_flushing``: it is on the list of those to send to in this tick.
    * ``is_half_closed``: it will send no more, though what it has sent may not be read yet.
    * ``at_end``: all that it sent has been read.
    * ``is_closing``: nothing more is executed; it is closed when its replies are out.
    * ``is_closed``: that has happened, or the connection broke.
    """

    __slots__ = (
        "_receive",
        "_rest",
        "_send",
        "at_end",
        "awaits_answer",
        "fd",
        "has_changes",
        "has_commands",
        "has_turn",
        "held",
        "held_bytes",
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
        # Both are called for nearly every command: to look them up anew would be felt.
        self._receive = sock.recv
        self._send = sock.send
        #: For people, in logs.
        self.name = name
        self.session = session
        self.parser = Parser(max_job_bytes)
        self.replies: list[bytes | LongReply] = []
        self.held: deque[HeldReplies] = deque()
        self._rest: list[bytes | memoryview] = []
        #: All that was replied and not sent, and how much of it is held.
        self.unsent_bytes = 0
        self.held_bytes = 0
        self.interest = READ
        self.awaits_answer = False
        self.waits_for_reader = False
        self.has_changes = False
        self.has_commands = False
        self.has_turn = False
        self.is_flushing = False
        self.is_half_closed = False
        self.at_end = False
        self.is_closing = False
        self.is_closed = False

    def wanted_interest(self) -> int:
        """What the loop should watch its socket for."""
        wanted = WRITE if self.unsent_bytes > self.held_bytes else 0
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
            data = self._receive(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        if data:
            self.parser.feed(data)
        else:
            self.is_half_closed = self.at_end = True

    def reply(self, reply: bytes | LongReply) -> None:
        """Put a reply behind those that go out at the end of the tick."""
        self.replies.append(reply)
        self.unsent_bytes += len(reply)

    def hold(self, position: int) -> None:
        """Keep back what was replied in this tick until the journal is durable so far.

        A position of 0 stands for that of the replies that are held already: these acknowledge
        nothing themselves, but must not overtake.
        """
        if position:
            self.held.append(HeldReplies(position, self.replies))
        else:
            self.held[-1].replies += self.replies
        self.replies = []
        self.held_bytes = self.unsent_bytes - sum(map(len, self._rest))

    def let_go(self, durable: int) -> None:
        """Let leave what waited for this position or an earlier one."""
        while self.held and self.held[0].position <= durable:
            replies = self.held.popleft().replies
            self.replies += replies
            self.held_bytes -= sum(map(len, replies))

    def take_held(self) -> list[bytes | LongReply]:
        """Take away all that is held, for others to be replied instead."""
        taken = [reply for held in self.held for reply in held.replies]
        self.held.clear()
        self.unsent_bytes -= self.held_bytes
        self.held_bytes = 0
        return taken

    def send(self) -> None:
        """Send as much as the socket takes; there must be something that may leave.

        Raises `OSError` when the connection broke.
        """
        replies = self.replies
        self.replies = []
        if len(replies) == 1 and not self._rest:
            reply = replies[0]
            if isinstance(reply, bytes):  # nearly always
                sent = self._try_to_send(reply)
                if sent < len(reply):
                    self._rest.append(memoryview(reply)[sent:])
                return
        self._rest += wire_pieces(replies)
        rest = self._rest
        sent = self._try_to_send(rest[0]) if len(rest) == 1 else self._try_to_send_all(rest)
        gone = 0
        while gone < len(rest) and sent >= len(rest[gone]):
            sent -= len(rest[gone])
            gone += 1
        del rest[:gone]
        if sent:
            rest[0] = memoryview(rest[0])[sent:]

    def _try_to_send(self, data: bytes | memoryview) -> int:
        try:
            sent = self._send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        self.unsent_bytes -= sent
        return sent

    def _try_to_send_all(self, pieces: list[bytes | memoryview]) -> int:
        try:
            sent = self.socket.sendmsg(pieces[:MAX_PIECES])
        except (BlockingIOError, InterruptedError):
            return 0
        self.unsent_bytes -= sent
        return sent
