"""The server's side of the wire: bytes in, commands out, under any chunking.

A `Parser` belongs to one client. It is in one of four states:

* in a *line*: it looks for the CRLF that ends a command;
* in a *long line*: the line is too long already, and thrown away up to its CRLF;
* in a *body*: the line of a put has been read, and its body is being collected;
* in a *skipped body*: a body that is refused is thrown away, so that what follows it is read
  as commands again.

A malformed line comes out as a command too, `REFUSED`, so that errors are answered in
their turn among the replies, and whoever reads commands has one path.
"""

from __future__ import annotations

from typing import Final

from beanrow.protocol.commands import PUT, Command, read_line, refused
from beanrow.protocol.limits import CRLF, MAX_LINE_BYTES
from beanrow.protocol.replies import BAD_FORMAT, EXPECTED_CRLF, JOB_TOO_BIG, OUT_OF_MEMORY
from beanrow.protocol.scanning import find_crlf, is_crlf

_LINE: Final = 0
_LONG_LINE: Final = 1
_BODY: Final = 2
_SKIPPED_BODY: Final = 3


class Parser:
    """Commands from the bytes of one client; `max_job_bytes` bounds a body.

    It holds at most one unfinished body, or one unfinished line, and what was fed but not
    yet asked for.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_missing",
        "_position",
        "_state",
        "begun",
        "max_job_bytes",
    )

    def __init__(self, max_job_bytes: int) -> None:
        self.max_job_bytes = max_job_bytes
        #: The put, or the refusal of one, whose body has not wholly arrived yet.
        self.begun: Command | None = None
        self._state: int = _LINE
        self._buffer = b""
        self._position = 0
        self._body = bytearray()
        #: How much of the body that is collected or skipped has yet to come.
        self._missing = 0

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
        if self._state >= _BODY:
            return self._collect() if self._state == _BODY else self._skip()
        buffer = self._buffer
        start = self._position
        if start >= len(buffer):
            self._buffer = b""  # an idle client keeps nothing
            self._position = 0
            return None
        end = find_crlf(buffer, start)
        if end < 0:
            self._keep_unfinished_line()
            return None
        self._position = end + 2
        if end - start > MAX_LINE_BYTES - 2 or self._state == _LONG_LINE:
            self._state = _LINE
            return refused(BAD_FORMAT)
        command = read_line(buffer[start:end])
        return self._read_body(command) if command.verb == PUT else command

    def _keep_unfinished_line(self) -> None:
        """Of a line that is too long, nothing is kept but a CR that may belong to its end."""
        if self._state == _LONG_LINE or self.waiting_bytes() >= MAX_LINE_BYTES:
            self._state = _LONG_LINE
            self._buffer = b"\r" if self._buffer.endswith(b"\r") else b""
            self._position = 0

    # --- bodies -------------------------------------------------------------------------

    def _read_body(self, put: Command) -> Command | None:
        size = put.number
        if size > self.max_job_bytes:
            return self._start_skipping(refused(JOB_TOO_BIG, counts_as=PUT), size + 2)
        if put.error:  # what followed the numbers in its line
            return refused(put.error, counts_as=PUT)
        start = self._position
        end = start + size
        if end + 2 > len(self._buffer):
            self._state = _BODY
            self._missing = size + 2
            self.begun = put
            return self._collect()
        self._position = end + 2
        if is_crlf(self._buffer, end):
            put.body = self._buffer[start:end]
        else:
            put.error = EXPECTED_CRLF
        return put

    def _collect(self) -> Command | None:
        put = self.begun
        assert put is not None, "a body belongs to a put"
        start = self._position
        count = min(self._missing, len(self._buffer) - start)
        try:
            # It grows with what has come, as what was only promised must cost nothing.
            self._body += self._buffer[start : start + count]
        except MemoryError:
            self._body = bytearray()
            put.error = OUT_OF_MEMORY
            return self._start_skipping(put, self._missing)
        self._position += count
        self._missing -= count
        if self._missing:
            return None
        self._state = _LINE
        self.begun = None
        body = self._body
        self._body = bytearray()
        if not body.endswith(CRLF):
            put.error = EXPECTED_CRLF
            return put
        try:
            put.body = bytes(memoryview(body)[:-2])
        except MemoryError:
            put.error = OUT_OF_MEMORY
        return put

    # --- what is thrown away ------------------------------------------------------------

    def _start_skipping(self, refusal: Command, count: int) -> Command | None:
        """Answer only when the refused body has gone by, as beanstalkd does."""
        self._state = _SKIPPED_BODY
        self._missing = count
        self.begun = refusal
        return self._skip()

    def _skip(self) -> Command | None:
        count = min(self._missing, self.waiting_bytes())
        self._position += count
        self._missing -= count
        if self._missing:
            return None
        self._state = _LINE
        refusal = self.begun
        self.begun = None
        return refusal
