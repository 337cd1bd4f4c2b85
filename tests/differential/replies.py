"""Replies as a client sees them: cut from the stream, brought to one dialect, compared.

The real server at hand is beanstalkd 1.12; beanrow answers as 1.13 does. Between the two only the
quoting of a few strings in the stats documents differs, and what `reserve-with-timeout` takes for
a number. `as_1_13` and `as_1_12` bridge exactly that, so that everything else has to be equal.
"""

import re
from dataclasses import dataclass, replace

#: Keys whose values are nobody's business but the server's own. The suite asks for `stats` itself
#: to learn how far a server is, so the number of those requests means nothing either.
MASKED_KEYS = {"cmd-stats", "id", "pid", "version", "uptime", "rusage-utime", "rusage-stime"}

#: What a journal does with its files is its own affair; but either both have one, or neither.
MASKED_KEYS |= {"binlog-records-written", "binlog-records-migrated"}
JOURNAL_KEYS = {"binlog-oldest-index", "binlog-current-index"}

#: Keys that count seconds: the two servers may stand on different sides of a full second.
SECONDS_KEYS = {"age", "time-left", "pause-time-left"}

_QUOTED_SINCE_1_13 = re.compile(rb"^(name|tube|hostname|os|platform): (.*)$", re.MULTILINE)
_HEAD_WITH_BODY = re.compile(rb"(?:OK|(?:FOUND|RESERVED) \d+) (\d+)")
_TIMEOUT_LINE = re.compile(rb"(?:\A|(?<=\r\n))reserve-with-timeout ([^\r]*)\r\n")
_MAX_U32 = 2**32 - 1


@dataclass(frozen=True)
class Reply:
    """One reply: its line without the CRLF, and the block of bytes that follows, if one does."""

    line: bytes
    body: bytes | None = None

    def __str__(self) -> str:
        return repr(self.line if self.body is None else self.line + b"\r\n" + self.body)


#: Stands in a list of replies where the server has closed the connection.
END = Reply(b"(end of the connection)")

#: Stands opposite a reply that only one of two servers has given.
NOTHING = Reply(b"(no reply)")


def cut_reply(stream: bytearray) -> Reply | None:
    """Remove the first complete reply from `stream`; None if there is none yet."""
    line_end = stream.find(b"\r\n")
    if line_end < 0:
        return None
    line = bytes(stream[:line_end])
    with_body = _HEAD_WITH_BODY.fullmatch(line)
    if with_body is None:
        del stream[: line_end + 2]
        return Reply(line)
    start = line_end + 2
    end = start + int(with_body[1])
    if len(stream) < end + 2:
        return None
    body, trailer = bytes(stream[start:end]), bytes(stream[end : end + 2])
    assert trailer == b"\r\n", f"{line!r} announces another length than that of {body!r}{trailer!r}"
    del stream[: end + 2]
    return Reply(line, body)


def is_document(reply: Reply) -> bool:
    """Whether it answers `stats`, `stats-job` or `stats-tube`."""
    return reply.body is not None and re.match(rb"---\n[a-z-]+: ", reply.body) is not None


def as_1_13(reply: Reply) -> Reply:
    """Translate what beanstalkd 1.12 said into the words of 1.13."""
    if reply.body is None or not is_document(reply):
        return reply
    body = _QUOTED_SINCE_1_13.sub(rb'\1: "\2"', reply.body)
    return replace(reply, line=b"OK %d" % len(body), body=body)


def as_1_12(request: bytes) -> bytes:
    """Replace what 1.13 refuses, and 1.12 does not, by something that both refuse alike."""
    return _TIMEOUT_LINE.sub(_refuse_lax_timeout, request)


def _refuse_lax_timeout(line: re.Match[bytes]) -> bytes:
    strict = re.fullmatch(rb" *([0-9]+)", line[1])
    if strict is not None and int(strict[1]) <= _MAX_U32:
        return line[0]
    return b"reserve-with-timeout %d\r\n" % 2**64


def document(reply: Reply) -> list[tuple[str, str]]:
    """Read the keys and values of a stats document, in their order."""
    assert reply.body is not None
    opening, *lines, nothing = reply.body.decode().split("\n")
    assert (opening, nothing) == ("---", ""), reply
    return [(key, value) for key, _, value in (line.partition(": ") for line in lines)]


def agree(one: Reply, other: Reply) -> bool:
    """Whether two replies are equal byte for byte, save for masked values and full seconds."""
    if not (is_document(one) and is_document(other)):
        return one == other
    pairs = zip(document(one), document(other), strict=False)
    return len(document(one)) == len(document(other)) and all(
        key == other_key and values_agree(key, value, other_value)
        for (key, value), (other_key, other_value) in pairs
    )


def values_agree(key: str, value: str, other_value: str) -> bool:
    """Whether two servers may tell these values of the same key."""
    # In `stats` the id is the server's own; in `stats-job` it is the job's, and a plain number.
    if key in MASKED_KEYS and not (key == "id" and value.isdecimal() and len(value) < 16):
        return True
    if key in SECONDS_KEYS:
        return abs(int(value) - int(other_value)) <= 1
    if key in JOURNAL_KEYS:
        return (value == "0") == (other_value == "0")
    return value == other_value
