"""Records give back whatever a job may be, and nothing else is read as one."""

from operator import attrgetter

from hypothesis import given
from hypothesis import strategies as st

from beanrow.engine.change import PauseFacts
from beanrow.engine.engine import Engine
from beanrow.engine.job import BURIED, DELAYED, READY, RESERVED, Job
from beanrow.journal import checksum, record
from beanrow.journal.scan import Scan
from beanrow.journal.segment import HEAD_BYTES, decode_head, encode_head

u32 = st.integers(0, 2**32 - 1)
u63 = st.integers(0, 2**63 - 1)
ids = st.integers(1, 2**63 - 1)
seeds = u32
names = st.binary(min_size=1, max_size=200)

IN_BOTH = attrgetter(
    *("id", "pri", "delay_s", "reserves", "timeouts", "releases", "buries", "kicks"),
)
ONLY_WHOLE = attrgetter("body", "created_at_ns", "ttr_s")
HEAD = b"\0" * HEAD_BYTES


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """A job with anything in it that the wire lets in."""
    tube = Engine().restore_tube(draw(names))
    job = Job(draw(ids), tube, draw(u32), draw(u32), draw(u32), draw(u63))
    job.body = draw(st.binary(max_size=100))
    job.state = draw(st.sampled_from([READY, DELAYED, BURIED, RESERVED]))
    job.rank = draw(u63)
    job.tie = draw(u63)
    job.reserves = draw(u32)
    detours = job.own_detours()
    detours.timeouts, detours.releases = draw(u32), draw(u32)
    detours.buries, detours.kicks = draw(u32), draw(u32)
    return job


@given(jobs(), seeds)
def test_a_job_comes_back(job: Job, seed: int) -> None:
    data = record.encode_job(job, seed)
    assert len(data) == record.job_bytes(job) == record.length_at(data, 0)
    assert record.sound_size(data, 0, seed) == len(data)
    assert record.type_at(data, 0) == record.JOB
    facts = record.decode_job(data, 0, len(data))
    assert IN_BOTH(facts) == IN_BOTH(job)
    assert ONLY_WHOLE(facts) == ONLY_WHOLE(job)
    assert facts.tube == job.tube.name
    check_state(facts.state, facts.due_ns, facts.order, job)


@given(jobs(), seeds)
def test_its_state_comes_back(job: Job, seed: int) -> None:
    data = record.encode_state(job, seed)
    assert len(data) == record.STATE_BYTES == record.length_at(data, 0)
    assert record.sound_size(data, 0, seed) == len(data)
    facts = record.decode_state(data, 0)
    assert IN_BOTH(facts) == IN_BOTH(job)
    assert facts.tube is None
    assert facts.body is None
    check_state(facts.state, facts.due_ns, facts.order, job)


def check_state(state: int, due_ns: int, order: int, job: Job) -> None:
    if job.state == DELAYED:
        assert (state, due_ns, order) == (DELAYED, job.rank, job.tie)
    elif job.state == BURIED:
        assert (state, order) == (BURIED, job.tie)
    else:
        assert state == READY


@given(ids, seeds)
def test_a_delete_comes_back(job_id: int, seed: int) -> None:
    data = record.encode_delete(job_id, seed)
    assert len(data) == record.DELETE_BYTES == record.length_at(data, 0)
    assert record.sound_size(data, 0, seed) == len(data)
    assert record.id_at(data, 0) == job_id


@given(names, u32, u63, seeds)
def test_a_pause_comes_back(name: bytes, pause_s: int, until_ns: int, seed: int) -> None:
    data = record.encode_pause(PauseFacts(name, pause_s, until_ns), seed)
    assert len(data) == record.PAUSE_BYTES + len(name) == record.length_at(data, 0)
    assert record.sound_size(data, 0, seed) == len(data)
    facts = record.decode_pause(data, 0, len(data))
    assert (facts.tube, facts.pause_s, facts.until_ns) == (name, pause_s, until_ns)


@given(st.binary(min_size=16, max_size=16), ids, ids, ids)
def test_a_head_comes_back(
    instance: bytes, number: int, last_job_id: int, previous_bytes: int
) -> None:
    data = encode_head(instance, number, last_job_id, previous_bytes)
    assert len(data) == HEAD_BYTES
    head = decode_head(data + b"more")
    assert head is not None
    assert (head.instance, head.number) == (instance, number)
    assert (head.last_job_id, head.previous_bytes) == (last_job_id, previous_bytes)


@given(st.integers(0, HEAD_BYTES * 8 - 1))
def test_a_head_with_a_flipped_bit_is_none(bit: int) -> None:
    assert decode_head(flipped(encode_head(b"i" * 16, 3, 9, 800), bit)) is None


def test_a_head_cut_short_is_none() -> None:
    assert decode_head(encode_head(b"i" * 16, 3, 9, 800)[:-1]) is None


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_the_checksum_in_python_is_the_fast_one(first: bytes, second: bytes) -> None:
    crc = checksum.extend_in_python(0, first)
    assert crc == checksum.extend(0, first)
    assert checksum.extend_in_python(crc, second) == checksum.extend(0, first + second)


def test_the_checksum_is_crc_32c() -> None:
    # The check value of the catalogue of CRCs, and two vectors of RFC 3720, appendix B.4.
    assert checksum.extend_in_python(0, b"123456789") == 0xE3069283
    assert checksum.extend_in_python(0, bytes(32)) == 0x8A9136AA
    assert checksum.extend_in_python(0, b"\xff" * 32) == 0x62A8AB43


# --- damage -------------------------------------------------------------------------------


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def offsets(data: bytes, seed: int) -> tuple[list[int], Scan]:
    scan = Scan(data, seed, "a segment")
    found = []
    while scan.next():
        found.append(scan.offset)
    return found, scan


@given(st.lists(jobs(), min_size=1, max_size=5), st.data(), st.sampled_from([0, 1, 8, 100]))
def test_one_flipped_bit_costs_one_record(jobs: list[Job], data: st.DataObject, room: int) -> None:
    records = [record.encode_job(job, 1) for job in jobs]
    starts = [HEAD_BYTES + sum(map(len, records[:n])) for n in range(len(records))]
    whole = HEAD + b"".join(records) + b"\0" * room
    assert offsets(whole, 1)[0] == starts
    bit = data.draw(st.integers(HEAD_BYTES * 8, (len(whole) - room) * 8 - 1))
    hit = max(start for start in starts if start * 8 <= bit)
    found, scan = offsets(flipped(whole, bit), 1)
    assert found == [start for start in starts if start != hit]
    (damage,) = scan.damages
    assert damage.offset == hit
    assert damage.is_torn_tail == (hit == starts[-1])
    if bit // 8 - hit >= record.HEADER_BYTES + 8:
        assert damage.ids == [jobs[starts.index(hit)].id]
        assert damage.records == 1
        assert damage.size == len(records[starts.index(hit)])


@given(st.lists(jobs(), min_size=1, max_size=4), st.data())
def test_what_is_cut_off_is_a_torn_tail(jobs: list[Job], data: st.DataObject) -> None:
    records = [record.encode_job(job, 1) for job in jobs]
    whole = HEAD + b"".join(records)
    last = len(whole) - len(records[-1])
    cut = data.draw(st.integers(last, len(whole) - 1))
    found, scan = offsets(whole[:cut] + b"\0" * data.draw(st.integers(0, 50)), 1)
    assert len(found) == len(jobs) - 1
    assert scan.damages == [] or scan.damages[0].is_torn_tail
    # What follows is to begin where the last whole record ends, or behind the torn one.
    assert scan.offset >= last


@given(jobs(), st.binary(max_size=20), st.binary(max_size=20))
def test_no_body_is_taken_for_a_record(job: Job, before: bytes, after: bytes) -> None:
    """A client has put a whole record of some other segment into a body, and the bytes before it
    are damaged."""
    job.body = before + record.encode_delete(7, seed=2) + after
    data = HEAD + flipped(record.encode_job(job, seed=1), 40) + record.encode_delete(8, seed=1)
    found, _ = offsets(data, 1)
    assert [record.id_at(data, offset) for offset in found] == [8]


@given(st.binary(max_size=400), seeds)
def test_noise_is_no_record(noise: bytes, seed: int) -> None:
    found, scan = offsets(HEAD + noise, seed)
    assert found == []
    assert bool(scan.damages) == any(noise)
