"""Scripts: what several connections send, in a form people can read and write.

    == two cases are divided by a title
    # a comment
    a> put 0 0 10 1\\r\\nx       connection `a` sends this, and a CRLF after it
    a>> put 0 0 10 5\\r\\nab     a part: no CRLF is added, and no reply is waited for
    a.> list-tubes             one byte at a time, then a CRLF
    a! half-close              `a` will send no more; also `close` and `reset`
    ! pass 1.2                 let so many seconds pass
    ! drain                    send both servers SIGUSR1
    ! options -z 10            start both servers with these options (first of all); the word
                               JOURNAL stands for an empty directory of each server's own
    ! restart                  end both servers and start them again; connections are new then

A connection opens when its name first occurs. In what is sent, `\\r \\n \\t \\0 \\\\ \\xff` stand
for bytes, `{x*200}` for 200 times `x`, and `{1}` for the id of the first job that the script has
made, `{2}` for the next id, and so on. A script says nothing about the replies: those of one
server are the expectation for the other.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Act(Enum):
    """What a step does; the values are how a script writes it."""

    SEND = ">"
    SEND_PART = ">>"
    SEND_BYTEWISE = ".>"
    HALF_CLOSE = "half-close"
    CLOSE = "close"
    RESET = "reset"
    PASS = "pass"
    DRAIN = "drain"
    OPTIONS = "options"
    RESTART = "restart"


@dataclass(frozen=True)
class Step:
    """One line of a script."""

    act: Act
    connection: str = ""
    text: str = ""

    def __str__(self) -> str:
        if self.act in (Act.SEND, Act.SEND_PART, Act.SEND_BYTEWISE):
            return f"{self.connection}{self.act.value} {self.text}"
        return f"{self.connection}! {self.act.value} {self.text}".rstrip()

    def request(self, base_id: int) -> bytes:
        """The bytes to send, if the first job of the script has the id after `base_id`."""
        line_end = b"" if self.act is Act.SEND_PART else b"\r\n"
        return encode(self.text, base_id) + line_end


@dataclass(frozen=True)
class Case:
    """A titled script."""

    title: str
    steps: tuple[Step, ...]


_STEP = re.compile(r"(?P<connection>\w*)(?:(?P<send>\.>|>>?)|!) ?(?P<text>.*)")
_MARKUP = re.compile(rb"\\x([0-9a-f]{2})|\\([rnt0\\])|\{([^{}]+)\*(\d+)\}|\{(\d+)\}")
_ESCAPED = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


def parse_step(line: str) -> Step:
    """Read one line; ValueError if it is not a step."""
    match = _STEP.fullmatch(line)
    if match is None:
        raise ValueError(f"not a step: {line!r}")
    connection, send, text = match["connection"], match["send"], match["text"]
    if send is not None:
        return Step(Act(send), connection, text)
    act, _, rest = text.partition(" ")
    return Step(Act(act), connection, rest)


def read_cases(path: Path) -> Iterator[Case]:
    """Read the cases of a file; a step before the first title is an error."""
    title, steps = "", list[Step]()
    for line in path.read_text().splitlines():
        if line.startswith("== "):
            if title:
                yield Case(title, tuple(steps))
            title, steps = line.removeprefix("== "), []
        elif line and not line.startswith("#"):
            assert title, f"{path}: a step without a title"
            steps.append(parse_step(line))
    yield Case(title, tuple(steps))


def encode(text: str, base_id: int) -> bytes:
    """Turn the text of a step into bytes."""

    def replacement(match: re.Match[bytes]) -> bytes:
        if match[1]:
            return bytes.fromhex(match[1].decode())
        if match[2]:
            return _ESCAPED[match[2]]
        if match[3]:
            return _MARKUP.sub(replacement, match[3]) * int(match[4])
        return b"%d" % (base_id + int(match[5]))

    return _MARKUP.sub(replacement, text.encode())
