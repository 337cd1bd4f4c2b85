"""A change as bytes in a segment: a checksum, a length, a type, and what it says.

```
crc     u32   CRC-32C of all that follows, begun with the seed of the segment
length  u32   of what follows the type, in bytes
type    u8    JOB, STATE, DELETE or PAUSE
```

All numbers are little-endian. A record says how a job or a tube stands, in full, so any of them
can be read without the others. A length of 0 is never written: where it is read, a segment that
was allocated and not filled ends.

The seed differs from segment to segment, and no client knows it. So no record is taken for one of
another file, and no body can be made to look like one.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from beanrow.engine.change import JobFacts, PauseFacts
from beanrow.engine.job import BURIED, DELAYED, READY, Job
from beanrow.journal.checksum import extend

#: A whole job: its state, its tube and its body.
JOB: Final = 1
#: A job in another state; its tube and body are in an earlier record.
STATE: Final = 2
#: A job is gone.
DELETE: Final = 3
#: A tube is paused, or is no longer.
PAUSE: Final = 4

# crc, length, type
_HEADER: Final = Struct("<IIB")
_CRC: Final = Struct("<I")
# length, type; then id, order, due, pri, delay, reserves, timeouts, releases, buries, kicks, state
_STATE: Final = Struct("<IBQQQIIIIIIIB")
# the same; then created, ttr, length of the tube's name
_JOB: Final = Struct("<IBQQQIIIIIIIBQIB")
_DELETE: Final = Struct("<IBQ")
# length, type; then seconds, moment
_PAUSE: Final = Struct("<IBIQ")

HEADER_BYTES: Final = _HEADER.size
_AFTER_CRC: Final = HEADER_BYTES - _CRC.size

#: The sizes of records; to that of a job come its tube's name and its body, to that of a pause
#: the tube's name.
JOB_BYTES: Final = _CRC.size + _JOB.size
STATE_BYTES: Final = _CRC.size + _STATE.size
DELETE_BYTES: Final = _CRC.size + _DELETE.size
PAUSE_BYTES: Final = _CRC.size + _PAUSE.size

# Counters of a job wrap around, as the protocol's do.
_U32: Final = 0xFFFFFFFF

# Where, counted from the length, the fields begin that follow length and type.
_STATE_FIELDS: Final = Struct("<QQQIIIIIIIB")
_REST_FIELDS: Final = Struct("<QIB")
_PAUSE_FIELDS: Final = Struct("<IQ")
_ID: Final = Struct("<Q")


def job_bytes(job: Job) -> int:
    """How long the record of a whole job is."""
    return JOB_BYTES + len(job.tube.name) + len(job.body)


def encode_job(job: Job, seed: int) -> bytes:
    """A whole job as it stands now."""
    state, due_ns, order = _durable_state(job)
    tube = job.tube.name
    body = job.body
    data = (
        _JOB.pack(
            _JOB.size - _AFTER_CRC + len(tube) + len(body),
            JOB,
            job.id,
            order,
            due_ns,
            job.pri,
            job.delay_s,
            job.reserves & _U32,
            job.timeouts & _U32,
            job.releases & _U32,
            job.buries & _U32,
            job.kicks & _U32,
            state,
            job.created_at_ns,
            job.ttr_s,
            len(tube),
        )
        + tube
        + body
    )
    return _CRC.pack(extend(seed, data)) + data


def encode_state(job: Job, seed: int) -> bytes:
    """How a job stands now, without its tube and its body."""
    state, due_ns, order = _durable_state(job)
    data = _STATE.pack(
        _STATE.size - _AFTER_CRC,
        STATE,
        job.id,
        order,
        due_ns,
        job.pri,
        job.delay_s,
        job.reserves & _U32,
        job.timeouts & _U32,
        job.releases & _U32,
        job.buries & _U32,
        job.kicks & _U32,
        state,
    )
    return _CRC.pack(extend(seed, data)) + data


def encode_delete(job_id: int, seed: int) -> bytes:
    """That a job is gone."""
    data = _DELETE.pack(_DELETE.size - _AFTER_CRC, DELETE, job_id)
    return _CRC.pack(extend(seed, data)) + data


def encode_pause(facts: PauseFacts, seed: int) -> bytes:
    """Until when a tube is paused, or that it is no longer."""
    data = (
        _PAUSE.pack(
            _PAUSE.size - _AFTER_CRC + len(facts.tube), PAUSE, facts.pause_s, facts.until_ns
        )
        + facts.tube
    )
    return _CRC.pack(extend(seed, data)) + data


def _durable_state(job: Job) -> tuple[int, int, int]:
    """State, due time and order as they will be after a restart: who holds it is not durable."""
    if job.state == DELAYED:
        return DELAYED, job.rank, job.tie
    if job.state == BURIED:
        return BURIED, 0, job.tie
    return READY, 0, 0


# --- reading ------------------------------------------------------------------------------


def length_at(data: bytes, offset: int) -> int:
    """The length of the whole record that begins here, by its own account; 0: there is none."""
    if offset + HEADER_BYTES > len(data):
        return 0
    length: int = _HEADER.unpack_from(data, offset)[1]
    return HEADER_BYTES + length if length else 0


def type_at(data: bytes, offset: int) -> int:
    return data[offset + HEADER_BYTES - 1]


def sound_size(data: bytes, offset: int, seed: int) -> int:
    """The length of the record that begins here, if it is as it was written; 0: it is not."""
    if offset + HEADER_BYTES > len(data):
        return 0
    header: tuple[int, int, int] = _HEADER.unpack_from(data, offset)
    crc, length, kind = header
    end = offset + HEADER_BYTES + length
    if not length or end > len(data) or not JOB <= kind <= PAUSE:
        return 0
    return end - offset if extend(seed, data[offset + _CRC.size : end]) == crc else 0


def id_at(data: bytes, offset: int) -> int:
    """The id in a record of any type but PAUSE."""
    job_id: int = _ID.unpack_from(data, offset + HEADER_BYTES)[0]
    return job_id


# Tuples of a known shape, which compiled code takes apart at once.
_State = tuple[int, int, int, int, int, int, int, int, int, int, int]
_Rest = tuple[int, int, int]


def decode_job(data: bytes, offset: int, size: int) -> JobFacts:
    """What a sound record of type JOB says."""
    facts = decode_state(data, offset)
    rest_start = offset + HEADER_BYTES + _STATE_FIELDS.size
    tube_start = rest_start + _REST_FIELDS.size
    rest: _Rest = _REST_FIELDS.unpack_from(data, rest_start)
    facts.created_at_ns, facts.ttr_s, tube_bytes = rest
    body_start = tube_start + tube_bytes
    facts.tube = data[tube_start:body_start]
    facts.body = data[body_start : offset + size]
    return facts


def decode_state(data: bytes, offset: int) -> JobFacts:
    """What a sound record of type STATE says, and what one of type JOB begins with."""
    fields: _State = _STATE_FIELDS.unpack_from(data, offset + HEADER_BYTES)
    facts = JobFacts(fields[0])
    facts.order = fields[1]
    facts.due_ns = fields[2]
    facts.pri = fields[3]
    facts.delay_s = fields[4]
    facts.reserves = fields[5]
    facts.timeouts = fields[6]
    facts.releases = fields[7]
    facts.buries = fields[8]
    facts.kicks = fields[9]
    facts.state = fields[10]
    return facts


def decode_pause(data: bytes, offset: int, size: int) -> PauseFacts:
    """What a sound record of type PAUSE says."""
    start = offset + HEADER_BYTES
    pause_s, until_ns = _PAUSE_FIELDS.unpack_from(data, start)
    return PauseFacts(data[start + _PAUSE_FIELDS.size : offset + size], pause_s, until_ns)
