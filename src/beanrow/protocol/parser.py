"""The server's side of the wire: bytes in, commands out, under any chunking.

A `Parser` belongs to one client. It is in one of three states:

* in a *line*: it looks for the CRLF that ends a command;
* in a *body*: a put has been read, and its body is being collected;
* in a *skip*: bytes are thrown away, either so many (a body that is refused, so that what
  follows it is read as commands again) or up to the next CRLF (of a line that is too long).

Every error of form comes out as a command too, `REFUSED`, so that errors are answered in
their turn among the replies, and whoever reads commands has one path.
"""

from __future__ import annotations

from typing import Final

from beanrow.protocol.commands import PUT, Command, read_line, refused
from beanrow.protocol.limits import MAX_LINE_BYTES
from beanrow.protocol.replies import BAD_FORMAT, EXPECTED_CRLF, JOB_TOO_BIG, OUT_OF_MEMORY

_CRLF: Final = b"\r\n"


class Parser:
    """Commands from the bytes of one client; `max_job_bytes` bounds a body.

    It holds at most one unfinished body, or one unfinished line, and what was fed but not
    yet asked for.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_collected",
        "_position",
        "_skip_bytes",
        "_skip_reply",
        "_skips_line",
        "max_job_bytes",
        "unfinished_put",
    )

    def __init__(self, max_job_bytes: int) -> None:
        self.max_job_bytes = max_job_bytes
        #: The put whose body has not wholly arrived yet.
        self.unfinished_put: Command | None = None
        self._buffer = b""
        self._position = 0
        self._body = bytearray()
        self._collected = 0
        self._skip_bytes = 0
        self._skip_reply: Command | None = None
        self._skips_line = False

    def feed(self, data: bytes) -> None:
        """Take what came from the client."""
        if self._position < len(self._buffer):
            self._buffer = self._buffer[self._position :] + data
        else:
            self._buffer = data
        self._position = 0

    def waiting_bytes(self) -> int:
        """How much was fed that has not been made into commands yet."""
        return len(self._buffer) - self._position

    def next(self) -> Command | None:
        """The next command; None when more must be fed first."""
        if self.unfinished_put is not None:
            return self._collect_body(self.unfinished_put)
        if self._skip_reply is not None:
            return self._skip(self._skip_reply)
        position = self._position
        if position == len(self._buffer):
            return None
        end = self._buffer.find(_CRLF, position)
        if end < 0:
            self._keep_unfinished_line()
            return None
        self._position = end + 2
        if self._skips_line or end + 2 - position > MAX_LINE_BYTES:
            self._skips_line = False
            return refused(BAD_FORMAT)
        command = read_line(self._buffer[position:end])
        return self._read_body(command) if command.verb == PUT else command

    def _keep_unfinished_line(self) -> None:
        """Of a line that is too long, nothing is kept but a CR that may belong to its end."""
        if self._skips_line or self.waiting_bytes() >= MAX_LINE_BYTES:
            self._skips_line = True
            self._buffer = b"\r" if self._buffer.endswith(b"\r") else b""
            self._position = 0

    # --- bodies -------------------------------------------------------------------------

    def _read_body(self, put: Command) -> Command | None:
        size = put.number
        if size > self.max_job_bytes:
            return self._skip_body(size + 2, refused(JOB_TOO_BIG, counted=PUT))
        if put.reply:
            return refused(put.reply, counted=PUT)
        start = self._position
        end = start + size + 2
        if end <= len(self._buffer):
            self._position = end
            return _complete(put, self._buffer[start : end - 2], self._buffer[end - 2 : end])
        try:
            self._body = bytearray(size + 2)
        except MemoryError:
            return self._skip_body(size + 2, refused(OUT_OF_MEMORY, counted=PUT))
        self._collected = 0
        self.unfinished_put = put
        return self._collect_body(put)

    def _collect_body(self, put: Command) -> Command | None:
        body = self._body
        start = self._position
        count = min(len(body) - self._collected, len(self._buffer) - start)
        body[self._collected : self._collected + count] = self._buffer[start : start + count]
        self._collected += count
        self._position += count
        if self._collected < len(body):
            return None
        self.unfinished_put = None
        self._body = bytearray()
        try:
            return _complete(put, bytes(memoryview(body)[:-2]), bytes(body[-2:]))
        except MemoryError:
            return refused(OUT_OF_MEMORY)

    # --- what is thrown away ------------------------------------------------------------

    def _skip_body(self, count: int, reply: Command) -> Command | None:
        """Answer only when the refused body has gone by, as beanstalkd does."""
        self._skip_bytes = count
        self._skip_reply = reply
        return self._skip(reply)

    def _skip(self, reply: Command) -> Command | None:
        count = min(self._skip_bytes, len(self._buffer) - self._position)
        self._position += count
        self._skip_bytes -= count
        if self._skip_bytes:
            return None
        self._skip_reply = None
        return reply


def _complete(put: Command, body: bytes, end: bytes) -> Command:
    if end != _CRLF:
        put.reply = EXPECTED_CRLF
    else:
        put.body = body
    return put
