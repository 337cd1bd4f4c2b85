"""One file of a journal: a head, then records.

The head names the format, the journal and the number of the segment, and the last job id that
was given when it was begun: so no id repeats, even when every record of it is gone. It also says
how long the segment before was: so the loss of that one's end is noticed.
"""

from __future__ import annotations

import re
from array import array
from struct import Struct
from typing import Final

from beanrow.journal.checksum import extend
from beanrow.journal.storage import File

FORMAT_VERSION: Final = 1
INSTANCE_BYTES: Final = 16

_MAGIC: Final = b"beanrow\n"
# magic, format version, instance, number, last job id, length of the segment before
_HEAD: Final = Struct(f"<8sI{INSTANCE_BYTES}sQQQ")
_CRC: Final = Struct("<I")
_NUMBER: Final = Struct("<Q")

HEAD_BYTES: Final = _HEAD.size + _CRC.size

_NAME: Final = re.compile(r"segment-([0-9]{10,20})")


def segment_name(number: int) -> str:
    """The file of a segment."""
    return f"segment-{number:010}"


def segment_number(name: str) -> int | None:
    """The number of a file that is named like a segment."""
    match = _NAME.fullmatch(name)
    return None if match is None else int(match[1])


def record_seed(instance: bytes, number: int) -> int:
    """What the checksums of all records of a segment begin with."""
    return extend(0, instance + _NUMBER.pack(number))


class Head:
    """What the head of a segment says."""

    __slots__ = ("format_version", "instance", "last_job_id", "number", "previous_bytes")

    def __init__(
        self,
        format_version: int,
        instance: bytes,
        number: int,
        last_job_id: int,
        previous_bytes: int,
    ) -> None:
        self.format_version = format_version
        #: Of which journal it is: random, the same for all segments of one.
        self.instance = instance
        self.number = number
        self.last_job_id = last_job_id
        #: How long the segment with the number before was when it was left; 0: not known.
        self.previous_bytes = previous_bytes


def encode_head(instance: bytes, number: int, last_job_id: int, previous_bytes: int) -> bytes:
    """The first bytes of a segment."""
    head = _HEAD.pack(_MAGIC, FORMAT_VERSION, instance, number, last_job_id, previous_bytes)
    return head + _CRC.pack(extend(0, head))


def decode_head(data: bytes) -> Head | None:
    """What the first bytes of a file say; None when they are not the head of a segment."""
    if len(data) < HEAD_BYTES:
        return None
    magic, version, instance, number, last_job_id, previous_bytes = _HEAD.unpack_from(data)
    crc: int = _CRC.unpack_from(data, _HEAD.size)[0]
    if magic != _MAGIC or crc != extend(0, data[: _HEAD.size]):
        return None
    return Head(version, instance, number, last_job_id, previous_bytes)


class Segment:
    """What a running journal knows of one of its segments.

    The **home** of a job is the segment that has the last record of the whole of it. A segment
    **overrules** an older one when it has a record of a job, or of a pause, that has an earlier
    record there. It can be removed when it is nobody's home and overrules none that is still
    there: otherwise what it overrules would be true again.
    """

    __slots__ = (
        "allocated_bytes",
        "file",
        "homed_bytes",
        "homed_jobs",
        "homed_pauses",
        "is_damaged",
        "job_ids",
        "number",
        "overrules",
        "paused_tubes",
        "seed",
        "unwritten",
        "used_bytes",
        "written_bytes",
    )

    def __init__(self, number: int, instance: bytes) -> None:
        self.number = number
        self.seed = record_seed(instance, number)
        #: Open while it is written to, or has still to be synced.
        self.file: File | None = None
        #: Its length, with what is still to be written; so much of it is in the file; and so long
        #: is the file.
        self.used_bytes = 0
        self.written_bytes = 0
        self.allocated_bytes = 0
        self.unwritten: list[bytes] = []
        #: The jobs that have, or once had, their home here, and how many have it now.
        self.job_ids: array[int] = array("Q")
        self.homed_jobs = 0
        self.homed_bytes = 0
        #: The same of paused tubes.
        self.paused_tubes: list[bytes] = []
        self.homed_pauses = 0
        self.overrules: set[Segment] = set()
        #: Part of it could not be read: it is set aside, not removed.
        self.is_damaged = False

    def put(self, record: bytes) -> None:
        """Write a record behind the others, soon."""
        self.unwritten.append(record)
        self.used_bytes += len(record)

    def close(self) -> None:
        """Nothing more is written to it, or synced."""
        if self.file is not None:
            self.file.close()
            self.file = None
