"""The client's ear: bytes in, responses out, however the network cuts them up.

A reply is one line of at most 224 bytes, ended by CRLF:

    WORD                      DELETED
    WORD <number>             INSERTED 7
    WORD <name>               USING mail
    WORD <size>, body         OK 14            then as many bytes, and CRLF
    WORD <id> <size>, body    RESERVED 7 3     the same

The word alone tells which of these forms follows, so replies can be read without knowing what was
asked. What a word means for a command is up to the request (`requests.py`), except that words of
refusal mean the same to all of them: `ERRORS` is the one table of those.

Nothing here does input or output; the blocking client shares it with any other kind.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from beanrow import errors
from beanrow.protocol.limits import CRLF, MAX_JOB_BYTES, MAX_LINE_BYTES, MAX_U64, TUBE_NAME

#: From the word of a reply to the exception that tells it to the user.
ERRORS: Final[Mapping[str, type[errors.ReplyError]]] = {
    error.word: error
    for error in (
        errors.BadFormat,
        errors.Buried,
        errors.DeadlineSoon,
        errors.Draining,
        errors.ExpectedCRLF,
        errors.InternalError,
        errors.JobTooBig,
        errors.NotFound,
        errors.NotIgnored,
        errors.OutOfMemory,
        errors.UnknownCommand,
    )
}


class Form(Enum):
    """What follows the word on the line of a reply."""

    WORD = auto()
    NUMBER = auto()
    OPTIONAL_NUMBER = auto()
    NAME = auto()
    BODY = auto()
    JOB = auto()


FORMS: Final[Mapping[str, Form]] = {
    **dict.fromkeys(ERRORS, Form.WORD),
    **dict.fromkeys(("DELETED", "RELEASED", "TOUCHED", "PAUSED", "TIMED_OUT"), Form.WORD),
    "INSERTED": Form.NUMBER,
    "WATCHING": Form.NUMBER,
    "BURIED": Form.OPTIONAL_NUMBER,  # with the id after put, without it after bury and release
    "KICKED": Form.OPTIONAL_NUMBER,  # with the count after kick, without it after kick-job
    "USING": Form.NAME,
    "OK": Form.BODY,
    "RESERVED": Form.JOB,
    "FOUND": Form.JOB,
}

_PATTERNS: Final = {
    Form.WORD: re.compile(rb""),
    Form.NUMBER: re.compile(rb" (?P<number>\d+)"),
    Form.OPTIONAL_NUMBER: re.compile(rb"(?: (?P<number>\d+))?"),
    Form.NAME: re.compile(rb" (?P<name>" + TUBE_NAME.pattern + rb")"),
    Form.BODY: re.compile(rb" (?P<size>\d+)"),
    Form.JOB: re.compile(rb" (?P<number>\d+) (?P<size>\d+)"),
}


@dataclass(frozen=True, slots=True)
class Response:
    """One reply; what its form does not have is None.

    `number` is a job id or a count.
    """

    word: str
    number: int | None = None
    name: str | None = None
    body: bytes | None = None

    def error(self, command: str, job_id: int | None = None) -> errors.BeanrowError:
        """Make the exception that tells this reply to a user who did not hope for it.

        `command` is the line it answers, `job_id` the job that line was about.
        """
        if self.word in ERRORS:
            return ERRORS[self.word](command, job_id if self.number is None else self.number)
        return errors.ProtocolError(f"{command}: answered {self.word}, which makes no sense here")


class ResponseReader:
    """Collects what the network delivers until whole replies can be taken from it.

    Memory is bounded by `max_body_bytes`, and is used as bytes arrive, not as they are announced.
    """

    def __init__(self, max_body_bytes: int = MAX_JOB_BYTES) -> None:
        self._max_body_bytes = max_body_bytes
        self._buffer = bytearray()
        self._head: tuple[Response, int] | None = None  # a read line and the size of its body

    def __len__(self) -> int:
        """Count the bytes that belong to no response yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take in what was received."""
        self._buffer += data

    def next(self) -> Response | None:
        """Take the next response, or None while it is incomplete.

        Raises ProtocolError if the bytes cannot be a reply; nothing that follows can be trusted.
        """
        if self._head is None:
            line = self._take_line()
            if line is None:
                return None
            response, size = _parse(line, self._max_body_bytes)
            if size is None:
                return response
            self._head = response, size
        return self._take_body(*self._head)

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(CRLF, 0, MAX_LINE_BYTES)
        if end < 0:
            if len(self._buffer) >= MAX_LINE_BYTES:
                raise errors.ProtocolError(f"not a reply: {_excerpt(self._buffer)}")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + len(CRLF)]
        return line

    def _take_body(self, response: Response, size: int) -> Response | None:
        if len(self._buffer) < size + len(CRLF):
            return None
        with memoryview(self._buffer) as view:
            body, end = bytes(view[:size]), bytes(view[size : size + len(CRLF)])
        if end != CRLF:
            raise errors.ProtocolError(
                f"{response.word}: the body does not end after the announced {size} bytes"
            )
        del self._buffer[: size + len(CRLF)]
        self._head = None
        return Response(response.word, response.number, response.name, body)


def _parse(line: bytes, max_body_bytes: int) -> tuple[Response, int | None]:
    """Read the line of a reply: the response without its body, and the size of that, if any."""
    word = line.partition(b" ")[0].decode("ascii", "replace")
    form = FORMS.get(word)
    if form is None:
        raise errors.ProtocolError(f"not a reply: {_excerpt(line)}")
    match = _PATTERNS[form].fullmatch(line, len(word))
    if match is None:
        raise errors.ProtocolError(f"not a {word} reply: {_excerpt(line)}")
    found = match.groupdict()
    number, size, name = found.get("number"), found.get("size"), found.get("name")
    if number is not None and int(number) > MAX_U64:
        raise errors.ProtocolError(f"{word}: the number is beyond 64 bits: {_excerpt(line)}")
    if size is not None and int(size) > max_body_bytes:
        raise errors.ProtocolError(
            f"{word}: a body of {int(size)} bytes, when {max_body_bytes} are allowed"
        )
    response = Response(
        word,
        number=None if number is None else int(number),
        name=None if name is None else name.decode("ascii"),
    )
    return response, None if size is None else int(size)


def _excerpt(data: bytes | bytearray) -> str:
    """Show the beginning of what was received."""
    shown = 60
    return repr(bytes(data[:shown])) + (" ..." if len(data) > shown else "")
