"""Reads the binlog of beanstalkd, so that its jobs can move in.

The files are called ``binlog.N`` and are read in the order of N. Each begins with its version, an
int of four bytes; 7 is written since beanstalkd 1.5, 5 by 1.4. Then come records, and, in a file
that was not filled, zeros:

```
name length   i32 (version 5: u64)   0: the record of a change, without tube and body
tube          so many bytes
id            u64
pri           u32, and 4 bytes to fill up
delay         i64   in nanoseconds (version 5: microseconds), like all times here
ttr           i64
body length   i32   with the CRLF behind the body; then 4 bytes to fill up
created       i64
deadline      i64   the end of the delay, in the record of a delayed job
counters      u32   reserves, timeouts, releases, buries, kicks
state         u8    0 deleted, 1 ready, 2 reserved, 3 buried, 4 delayed
              3 bytes to fill up (version 5: none)
body          with its CRLF, only in a record with a tube
```

Numbers are as the machine had them, here little-endian, on 64 bits. A change of a job that no file
has a whole record of is none: the file that had it is gone, and so is the job.

There are no checksums. So every field is held to what beanstalkd may have written, no length is
trusted beyond the end of its file, and where one field is wrong all that follows in its file is
left out, for nothing says where the next record begins.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from struct import Struct
from typing import Final

from beanrow.engine.change import JobFacts
from beanrow.engine.job import BURIED, DELAYED, GONE, READY
from beanrow.journal.errors import JournalError
from beanrow.journal.storage import Storage
from beanrow.protocol.limits import MAX_TUBE_NAME_BYTES, MAX_U32, NS_PER_S, TUBE_NAME

_NAME: Final = re.compile(r"binlog\.(0|[1-9][0-9]{0,9})")

_VERSION: Final = Struct("<i")
#: From the id to the state.
_FIELDS: Final = Struct("<QI4xqqi4xqqIIIIIB")
_CRLF: Final = b"\r\n"

_STATES: Final = {0: GONE, 1: READY, 2: READY, 3: BURIED, 4: DELAYED}

# What no beanstalkd has ever written; it counts ids up from 1.
_MAX_ID: Final = (1 << 62) - 1
_MAX_MOMENT_NS: Final = (1 << 63) - 1

#: Moments before this one, in 2001, are no time of day: beanstalkd's source since 1.12 counts them
#: from the start of the machine.
_FIRST_TIME_OF_DAY_NS: Final = 10**18


class BinlogFlaw:
    """A place from which on a file was not read."""

    __slots__ = ("file", "job_id", "offset", "size", "why")

    def __init__(self, file: str, offset: int, size: int, why: str, job_id: int) -> None:
        self.file = file
        #: In bytes from the beginning of the file, and how many were not read.
        self.offset = offset
        self.size = size
        #: What is wrong there, in words.
        self.why = why
        #: The job that the unreadable record seems to be of; 0: that is not known.
        self.job_id = job_id

    def __str__(self) -> str:
        return f"{self.file}, offset {self.offset}: {self.why}"


class BinlogFile:
    """What was found in one file."""

    __slots__ = ("deletes", "job_records", "name", "size", "updates", "version")

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        #: In bytes, with the zeros at its end.
        self.size = size
        #: 0: the file is empty, or was never begun.
        self.version = 0
        #: Records by type: whole jobs, changes, deletes.
        self.job_records = 0
        self.updates = 0
        self.deletes = 0


class BinlogContents:
    """What a binlog says, all of its files together."""

    def __init__(self) -> None:
        self.files: list[BinlogFile] = []
        #: The jobs that are left, whole, by id.
        self.jobs: dict[int, JobFacts] = {}
        #: The largest id in any record, also of jobs that are gone.
        self.last_job_id = 0
        #: How many bytes the last whole records of `jobs` take.
        self.live_bytes = 0
        self.flaws: list[BinlogFlaw] = []


def binlog_names(names: list[str]) -> list[str]:
    """Those of the names that are of files of a binlog, in the order to read them in."""
    numbers = sorted(int(match[1]) for match in map(_NAME.fullmatch, names) if match)
    return [f"binlog.{number}" for number in numbers]


def read_binlogs(
    storage: Storage,
    progress: Callable[[int], object] | None = None,
    *,
    now_ns: int | None = None,
    uptime_ns: int | None = None,
) -> BinlogContents:
    """Read all files ``binlog.N``, changing nothing.

    ``progress`` is told after each file how many bytes were read so far. ``now_ns`` is the time
    of day, ``uptime_ns`` what the monotonic clock shows; both are read unless given.

    Raises `JournalError` when a file cannot be read at all. What is wrong inside of a file is in
    `BinlogContents.flaws`; everything before and all other files were read.
    """
    reader = _Reader(
        time.time_ns() if now_ns is None else now_ns,
        time.monotonic_ns() if uptime_ns is None else uptime_ns,
    )
    done_bytes = 0
    last_number = -1
    for name in binlog_names(storage.names()):
        number = int(name.removeprefix("binlog."))
        if -1 < last_number < number - 1:
            reader.note_gap(last_number + 1, number - 1)
        last_number = number
        try:
            data = storage.read(name)
        except OSError as error:
            raise JournalError(
                f"{name} cannot be read ({error.strerror}); let this user read it, or move it away"
            ) from error
        reader.read(name, data)
        done_bytes += len(data)
        if progress is not None:
            progress(done_bytes)
    return reader.finish()


class _DamagedError(Exception):
    """A record is not what beanstalkd writes."""


class _Layout:
    """How the versions differ."""

    def __init__(self, name_length: str, fields_bytes: int, ns_per_unit: int) -> None:
        self.name_length = Struct(name_length)
        self.fields_bytes = fields_bytes
        self.ns_per_unit = ns_per_unit


_LAYOUTS: Final = {7: _Layout("<i", 80, 1), 5: _Layout("<Q", 77, 1000)}

#: The versions that can be read.
VERSIONS: Final = frozenset(_LAYOUTS)


class _Reader:
    """Follows the records of one file after the other."""

    def __init__(self, now_ns: int, uptime_ns: int) -> None:
        self._now_ns = now_ns
        self._booted_at_ns = now_ns - uptime_ns
        self._contents = BinlogContents()
        self._jobs = self._contents.jobs
        # Since which record, counted over all files, a job has been buried or delayed. When
        # beanstalkd moves a job to a newer file the change of its state may stay behind without
        # it, so this is kept for jobs too that are not known (yet).
        self._since: dict[int, tuple[int, int]] = {}
        self._records = 0

    def note_gap(self, first: int, last: int) -> None:
        """Files are missing between two others."""
        more = f" (and all up to binlog.{last})" if last > first else ""
        self._add_flaw(f"binlog.{first}", 0, 0, f"the file is missing{more}")

    def finish(self) -> BinlogContents:
        for facts in self._jobs.values():
            self._fit_to_clock(facts)
            assert facts.tube is not None, "whole jobs"
            assert facts.body is not None, "whole jobs"
            self._contents.live_bytes += (
                _LAYOUTS[7].name_length.size
                + len(facts.tube)
                + _LAYOUTS[7].fields_bytes
                + len(facts.body)
                + len(_CRLF)
            )
        return self._contents

    def read(self, name: str, data: bytes) -> None:
        file = BinlogFile(name, len(data))
        self._contents.files.append(file)
        written_bytes = len(data.rstrip(b"\0"))
        if written_bytes == 0:
            return
        layout = self._layout(file, data)
        if layout is None:
            return
        offset = _VERSION.size
        while offset < written_bytes:
            try:
                offset = self._read_record(file, layout, data, offset)
            except _DamagedError as damage:
                left = len(data) - offset
                why = f"{damage}; the {left} bytes from here on were not read"
                self._add_flaw(name, offset, left, why, _guess_id(layout, data, offset))
                return

    def _layout(self, file: BinlogFile, data: bytes) -> _Layout | None:
        if len(data) >= _VERSION.size:
            (file.version,) = _VERSION.unpack_from(data)
        layout = _LAYOUTS.get(file.version)
        if layout is None:
            why = f"version {file.version} is unknown, the file was not read; versions 5 and 7 are"
            if len(data) < _VERSION.size:
                why = "the file ends within its version"
            elif int.from_bytes(data[: _VERSION.size], "big") in _LAYOUTS:
                why = "the file is of a machine with the other byte order, and was not read"
            self._add_flaw(file.name, 0, len(data), why)
        return layout

    def _add_flaw(self, name: str, offset: int, size: int, why: str, job_id: int = 0) -> None:
        self._contents.flaws.append(BinlogFlaw(name, offset, size, why, job_id))

    # --- records ------------------------------------------------------------------------

    def _read_record(self, file: BinlogFile, layout: _Layout, data: bytes, offset: int) -> int:
        """Follow the record at `offset`; returns where the next one begins."""
        if offset + layout.name_length.size > len(data):
            raise _DamagedError("the file ends within a record")
        (name_bytes,) = layout.name_length.unpack_from(data, offset)
        offset += layout.name_length.size
        can_be = 0 <= name_bytes <= MAX_TUBE_NAME_BYTES
        tube = data[offset : offset + name_bytes] if can_be else b""
        if name_bytes and not TUBE_NAME.fullmatch(tube):
            raise _DamagedError("no record begins with the name of a tube like this")
        offset += name_bytes
        if offset + layout.fields_bytes > len(data):
            raise _DamagedError("the file ends within a record")
        facts, body_bytes = _decode(layout, data, offset)
        offset += layout.fields_bytes
        if tube:
            facts.tube = tube
            facts.body = _body(data, offset, body_bytes)
            offset += body_bytes
        elif facts.id in self._jobs:
            known = self._jobs[facts.id]
            if facts.state != GONE and len(known.body or b"") + len(_CRLF) != body_bytes:
                raise _DamagedError(f"the body of job {facts.id} has changed its length")
            facts.tube = known.tube
            facts.body = known.body
        self._count(file, facts, bool(tube))
        self._keep(facts)
        return offset

    def _count(self, file: BinlogFile, facts: JobFacts, is_whole: bool) -> None:
        self._records += 1
        if facts.id > self._contents.last_job_id:
            self._contents.last_job_id = facts.id
        if is_whole:
            file.job_records += 1
        elif facts.state == GONE:
            file.deletes += 1
        else:
            file.updates += 1

    def _keep(self, facts: JobFacts) -> None:
        if facts.state == GONE:
            self._jobs.pop(facts.id, None)
            self._since.pop(facts.id, None)
            return
        if facts.state == READY:
            self._since.pop(facts.id, None)
        else:
            state, order = self._since.get(facts.id, (GONE, 0))
            if state != facts.state:
                order = self._records
                self._since[facts.id] = (facts.state, order)
            facts.order = order
        if facts.tube is not None:
            self._jobs[facts.id] = facts

    # --- moments ------------------------------------------------------------------------

    def _fit_to_clock(self, facts: JobFacts) -> None:
        """Moments since the start of the machine become times of day.

        If it was started again meanwhile, nobody knows any more how long ago that was. Then no
        job is older than the machine, or waits longer than its delay.
        """
        if facts.created_at_ns < _FIRST_TIME_OF_DAY_NS:
            facts.created_at_ns = min(self._booted_at_ns + facts.created_at_ns, self._now_ns)
        if facts.state == DELAYED and facts.due_ns < _FIRST_TIME_OF_DAY_NS:
            latest_ns = self._now_ns + facts.delay_s * NS_PER_S
            facts.due_ns = min(self._booted_at_ns + facts.due_ns, latest_ns)


def _decode(layout: _Layout, data: bytes, offset: int) -> tuple[JobFacts, int]:
    """What the fields of a record say, and how long its body is with its CRLF.

    Raises _DamagedError when beanstalkd would not have written that.
    """
    fields = _FIELDS.unpack_from(data, offset)
    job_id, pri, delay, ttr, body_bytes, created_at, deadline = fields[:7]
    unit_ns = layout.ns_per_unit
    delay_s = delay * unit_ns // NS_PER_S
    ttr_s = ttr * unit_ns // NS_PER_S
    state = _STATES.get(fields[12], -1)
    if job_id == 0:
        raise _DamagedError("a record was begun here and not finished")
    if job_id > _MAX_ID:
        raise _DamagedError(f"no job has the id {job_id}")
    if state < 0:
        raise _DamagedError(f"job {job_id} is in no state that there is")
    if body_bytes < len(_CRLF):
        raise _DamagedError(f"job {job_id} has a body of no possible length")
    if not (0 <= delay_s <= MAX_U32 and 0 <= ttr_s <= MAX_U32):
        raise _DamagedError(f"job {job_id} has a delay or ttr that is not possible")
    if not (0 <= created_at * unit_ns <= _MAX_MOMENT_NS >= deadline * unit_ns >= 0):
        raise _DamagedError(f"job {job_id} has a moment that is not possible")
    facts = JobFacts(job_id)
    facts.state = state
    facts.pri = pri
    facts.delay_s = delay_s
    facts.ttr_s = max(ttr_s, 1)
    facts.created_at_ns = created_at * unit_ns
    facts.due_ns = deadline * unit_ns if state == DELAYED else 0
    facts.reserves, facts.timeouts, facts.releases, facts.buries, facts.kicks = fields[7:12]
    return facts, body_bytes


def _body(data: bytes, offset: int, size: int) -> bytes:
    end = offset + size - len(_CRLF)
    if data[end : end + len(_CRLF)] != _CRLF:
        raise _DamagedError("a body does not end where it should")
    return data[offset:end]


def _guess_id(layout: _Layout, data: bytes, offset: int) -> int:
    """The id that a damaged record seems to have; 0 if there is none to be seen."""
    if offset + layout.name_length.size > len(data):
        return 0
    (name_bytes,) = layout.name_length.unpack_from(data, offset)
    offset += layout.name_length.size + name_bytes
    if not 0 <= name_bytes <= MAX_TUBE_NAME_BYTES or offset + _FIELDS.size > len(data):
        return 0
    job_id: int = _FIELDS.unpack_from(data, offset)[0]
    return job_id if job_id <= _MAX_ID else 0
