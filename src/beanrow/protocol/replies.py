"""Results to bytes: every reply of the server, and the documents of its stats verbs.

The documents are a small subset of YAML whose keys, order and quoting are beanstalkd 1.13's:
strings stand in double quotes, except ``id`` and ``state``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from beanrow.protocol.limits import CRLF

BURIED: Final = b"BURIED\r\n"
DEADLINE_SOON: Final = b"DEADLINE_SOON\r\n"
DELETED: Final = b"DELETED\r\n"
JOB_KICKED: Final = b"KICKED\r\n"
NOT_FOUND: Final = b"NOT_FOUND\r\n"
NOT_IGNORED: Final = b"NOT_IGNORED\r\n"
PAUSED: Final = b"PAUSED\r\n"
RELEASED: Final = b"RELEASED\r\n"
TIMED_OUT: Final = b"TIMED_OUT\r\n"
TOUCHED: Final = b"TOUCHED\r\n"

BAD_FORMAT: Final = b"BAD_FORMAT\r\n"
DRAINING: Final = b"DRAINING\r\n"
EXPECTED_CRLF: Final = b"EXPECTED_CRLF\r\n"
INTERNAL_ERROR: Final = b"INTERNAL_ERROR\r\n"
JOB_TOO_BIG: Final = b"JOB_TOO_BIG\r\n"
OUT_OF_MEMORY: Final = b"OUT_OF_MEMORY\r\n"
UNKNOWN_COMMAND: Final = b"UNKNOWN_COMMAND\r\n"

#: How the replies begin that say that a change was made. Of a reserve-job nothing is said here:
#: whoever has a job may do it, though the journal may know no more than that it was put.
CHANGE_REPLIES: Final = (b"INSERTED ", DELETED, RELEASED, BURIED, b"KICKED", PAUSED)


def inserted(job_id: int) -> bytes:
    return b"INSERTED %d\r\n" % job_id


def inserted_id(reply: bytes) -> int | None:
    """The id in the reply to a put that was done; None in any other reply."""
    return int(reply[9:-2]) if reply.startswith(b"INSERTED ") else None


def kicked(count: int) -> bytes:
    return b"KICKED %d\r\n" % count


def using(tube: bytes) -> bytes:
    return b"USING %b\r\n" % tube


def watching(count: int) -> bytes:
    return b"WATCHING %d\r\n" % count


#: Longer bodies are sent from where they are kept, not copied into their reply. With short ones the
#: copy is cheaper than what it takes to do without.
LONG_BODY_BYTES: Final = 16 * 1024


class LongReply:
    """A reply with a long body: ``head`` is its line, CRLF and all; a CRLF follows the body."""

    __slots__ = ("body", "head")

    def __init__(self, head: bytes, body: bytes) -> None:
        self.head = head
        self.body = body

    def __len__(self) -> int:
        """How many bytes it has on the wire."""
        return len(self.head) + len(self.body) + len(CRLF)


def reserved(job_id: int, body: bytes) -> bytes | LongReply:
    if len(body) > LONG_BODY_BYTES:
        return LongReply(b"RESERVED %d %d\r\n" % (job_id, len(body)), body)
    return b"RESERVED %d %d\r\n%b\r\n" % (job_id, len(body), body)


def found(job_id: int, body: bytes) -> bytes | LongReply:
    if len(body) > LONG_BODY_BYTES:
        return LongReply(b"FOUND %d %d\r\n" % (job_id, len(body)), body)
    return b"FOUND %d %d\r\n%b\r\n" % (job_id, len(body), body)


def wire_pieces(replies: Iterable[bytes | LongReply]) -> list[bytes]:
    """The bytes of some replies, in order: long bodies as they are, all between them joined."""
    pieces: list[bytes] = []
    short: list[bytes] = []
    for reply in replies:
        if isinstance(reply, bytes):
            short.append(reply)
        else:
            short.append(reply.head)
            pieces.append(b"".join(short))
            pieces.append(reply.body)
            short = [CRLF]
    if short:
        pieces.append(b"".join(short))
    return pieces


def ok(document: bytes) -> bytes:
    return b"OK %d\r\n%b\r\n" % (len(document), document)


def list_document(items: Iterable[bytes]) -> bytes:
    """A YAML list, one item a line."""
    return b"---\n" + b"".join([b"- %b\n" % item for item in items])


STATS_JOB: Final = b"""---
id: %(id)d
tube: "%(tube)b"
state: %(state)b
pri: %(pri)d
age: %(age)d
delay: %(delay)d
ttr: %(ttr)d
time-left: %(time-left)d
file: %(file)d
reserves: %(reserves)d
timeouts: %(timeouts)d
releases: %(releases)d
buries: %(buries)d
kicks: %(kicks)d
"""

STATS_TUBE: Final = b"""---
name: "%(name)b"
current-jobs-urgent: %(urgent)d
current-jobs-ready: %(ready)d
current-jobs-reserved: %(reserved)d
current-jobs-delayed: %(delayed)d
current-jobs-buried: %(buried)d
total-jobs: %(total-jobs)d
current-using: %(using)d
current-watching: %(watching)d
current-waiting: %(waiting)d
cmd-delete: %(deletes)d
cmd-pause-tube: %(pauses)d
pause: %(pause)d
pause-time-left: %(pause-time-left)d
"""

STATS: Final = b"""---
current-jobs-urgent: %(urgent)d
current-jobs-ready: %(ready)d
current-jobs-reserved: %(reserved)d
current-jobs-delayed: %(delayed)d
current-jobs-buried: %(buried)d
cmd-put: %(cmd-put)d
cmd-peek: %(cmd-peek)d
cmd-peek-ready: %(cmd-peek-ready)d
cmd-peek-delayed: %(cmd-peek-delayed)d
cmd-peek-buried: %(cmd-peek-buried)d
cmd-reserve: %(cmd-reserve)d
cmd-reserve-with-timeout: %(cmd-reserve-with-timeout)d
cmd-delete: %(cmd-delete)d
cmd-release: %(cmd-release)d
cmd-use: %(cmd-use)d
cmd-watch: %(cmd-watch)d
cmd-ignore: %(cmd-ignore)d
cmd-bury: %(cmd-bury)d
cmd-kick: %(cmd-kick)d
cmd-touch: %(cmd-touch)d
cmd-stats: %(cmd-stats)d
cmd-stats-job: %(cmd-stats-job)d
cmd-stats-tube: %(cmd-stats-tube)d
cmd-list-tubes: %(cmd-list-tubes)d
cmd-list-tube-used: %(cmd-list-tube-used)d
cmd-list-tubes-watched: %(cmd-list-tubes-watched)d
cmd-pause-tube: %(cmd-pause-tube)d
job-timeouts: %(timeouts)d
total-jobs: %(total-jobs)d
max-job-size: %(max-job-size)d
current-tubes: %(tubes)d
current-connections: %(connections)d
current-producers: %(producers)d
current-workers: %(workers)d
current-waiting: %(waiting)d
total-connections: %(total-connections)d
pid: %(pid)d
version: "%(version)b"
rusage-utime: %(utime)b
rusage-stime: %(stime)b
uptime: %(uptime)d
binlog-oldest-index: %(binlog-oldest-index)d
binlog-current-index: %(binlog-current-index)d
binlog-records-migrated: %(binlog-records-migrated)d
binlog-records-written: %(binlog-records-written)d
binlog-max-size: %(binlog-max-size)d
draining: %(draining)b
id: %(id)b
hostname: "%(hostname)b"
os: "%(os)b"
platform: "%(platform)b"
"""
