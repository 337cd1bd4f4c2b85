"""What is in the directory of a journal, and whether all of it is sound. Nothing is changed.

It may be read while a server runs on it. Then a segment may be gone before its turn comes, and a
record may be half written: so it is read again before anything is called damaged.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from beanrow.engine.change import JobFacts
from beanrow.engine.job import STATE_NAMES
from beanrow.journal.binlog import binlog_names, read_binlogs
from beanrow.journal.errors import JournalError
from beanrow.journal.importing import IMPORTED
from beanrow.journal.manifest import Manifest, read_manifest
from beanrow.journal.record import (
    DELETE,
    JOB,
    STATE,
    decode_job,
    decode_pause,
    decode_state,
    id_at,
    type_at,
)
from beanrow.journal.recovery import DAMAGED
from beanrow.journal.scan import Scan
from beanrow.journal.segment import (
    FORMAT_VERSION,
    HEAD_BYTES,
    INSTANCE_BYTES,
    decode_head,
    record_seed,
    segment_name,
    segment_number,
)
from beanrow.journal.storage import LocalStorage, Storage
from beanrow.journal.writer import SPARE

#: Told how many bytes were read, of how many.
Progress = Callable[[int, int], object]

BEANROW: Final = "beanrow"
BEANSTALKD: Final = "beanstalkd"

_ATTEMPTS: Final = 3
#: So long after a first look at a record, whoever was writing it is done.
_PATIENCE_S: Final = 0.2


class Problem:
    """A place where something is wrong."""

    __slots__ = ("file", "ids", "offset", "reason", "size", "text")

    def __init__(
        self, file: str, offset: int, size: int, reason: str, ids: list[int], text: str = ""
    ) -> None:
        self.file = file
        #: In bytes: where it begins in the file, and how long it is.
        self.offset = offset
        self.size = size
        self.reason = reason
        #: The jobs that it is known to be about.
        self.ids = ids
        #: All of this in one line.
        self.text = text or f"{file}: {reason}"


class FileReport:
    """A segment, or a file of a binlog."""

    def __init__(self, name: str, size: int, *, is_segment: bool) -> None:
        self.name = name
        self.is_segment = is_segment
        self.size = size
        #: Records by type: whole jobs, changes of state, deletes, pauses of tubes.
        self.jobs = 0
        self.states = 0
        self.deletes = 0
        self.pauses = 0
        #: How many jobs have their last whole record here, and how long these records are, with
        #: those of pauses. Not known of a single file of a binlog.
        self.live_jobs = 0
        self.live_bytes = 0

    def records(self) -> int:
        return self.jobs + self.states + self.deletes + self.pauses


class Report:
    """What was found."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        #: BEANROW or BEANSTALKD.
        self.kind = kind
        #: Of the segments or of the files of a binlog; None: there is none.
        self.format_version: int | None = None
        #: Which journal it is, in hexadecimal digits; empty for a binlog.
        self.instance = ""
        self.files: list[FileReport] = []
        #: The jobs that a server which starts now would have, by state; and the tubes it would
        #: have paused, if no pause had passed.
        self.jobs = dict.fromkeys(("ready", "delayed", "buried"), 0)
        self.paused_tubes = 0
        self.last_job_id = 0
        #: Id, and time of the put in nanoseconds, of the oldest and the newest of these jobs.
        self.oldest: tuple[int, int] | None = None
        self.newest: tuple[int, int] | None = None
        #: What the records of these jobs and tubes take, each of them written once.
        self.live_bytes = 0
        #: What `files`, the spare, and segments that are only still to be removed take.
        self.total_bytes = 0
        self.spare_bytes = 0
        self.unneeded_bytes = 0
        self.problems: list[Problem] = []
        #: What is no problem, and worth to know.
        self.notes: list[str] = []

    def records(self) -> int:
        return sum(file.records() for file in self.files)

    def add_job(self, facts: JobFacts) -> None:
        self.jobs[STATE_NAMES[facts.state]] += 1
        put = (facts.id, facts.created_at_ns)
        if self.oldest is None or facts.created_at_ns < self.oldest[1]:
            self.oldest = put
        if self.newest is None or facts.created_at_ns > self.newest[1]:
            self.newest = put


def examine(
    path: Path, progress: Progress | None = None, *, patience_s: float = _PATIENCE_S
) -> Report:
    """Read every record in a directory; what seems damaged, again after `patience_s`.

    Raises `JournalError` when it cannot be read, or holds no journal.
    """
    _check_directory(path)
    storage = LocalStorage(path)
    before: list[str] | None = None
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                report = _examine(storage, path, progress or _nobody)
            except FileNotFoundError:  # a server has removed a segment meanwhile
                if attempt == _ATTEMPTS:
                    raise
                continue
            found = [problem.text for problem in report.problems]
            if not found or found == before or attempt == _ATTEMPTS:
                return report
            before = found
            time.sleep(patience_s)
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error}") from error
    finally:
        storage.close()
    raise AssertionError("the last attempt returns or raises")


def _nobody(done_bytes: int, total_bytes: int) -> None:
    pass


def _check_directory(path: Path) -> None:
    try:
        next(path.iterdir(), None)
    except FileNotFoundError:
        raise JournalError(f"{path}: there is no such directory") from None
    except NotADirectoryError:
        raise JournalError(f"{path} is a file; give the directory that it is in") from None
    except PermissionError:
        raise JournalError(
            f"{path} cannot be read: permission denied; run this as the user of the server"
        ) from None
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror}") from error


def _examine(storage: Storage, path: Path, progress: Progress) -> Report:
    names = storage.names()
    binlogs = binlog_names(names)
    manifest, damaged = read_manifest(storage)
    numbers = [number for name in names if (number := segment_number(name)) is not None]
    if binlogs and (manifest is None or not manifest.segments):
        report = _examine_binlogs(storage, path, binlogs, progress)
        if manifest is not None:
            report.notes.append("moving in was interrupted; the next start of a server repeats it")
    elif numbers or manifest is not None or damaged:
        report = Report(path, BEANROW)
        if binlogs:
            report.notes.append(
                f"{len(binlogs)} files of beanstalkd are here as well, which were not read"
            )
        _Segments(storage, report, manifest, numbers).read(progress)
    else:
        raise JournalError(
            f"{path} holds no journal: no segments of beanrow, and no binlog of beanstalkd"
        )
    for name in damaged:
        reason = "not a whole manifest; the next start of a server writes it anew"
        report.problems.append(Problem(name, 0, storage.size(name), reason, []))
    if SPARE in names:
        report.spare_bytes = storage.size(SPARE)
    files_bytes = sum(file.size for file in report.files)
    report.total_bytes = files_bytes + report.spare_bytes + report.unneeded_bytes
    _note_aside(path, report)
    return report


def _note_aside(path: Path, report: Report) -> None:
    imported = sorted(path.glob(f"{IMPORTED}*"))
    for folder in (path / DAMAGED, *imported):
        if folder.is_dir():
            sizes = [entry.stat().st_size for entry in folder.iterdir()]
            report.notes.append(f"{folder.name}/: {_count_files(sizes)} set aside")


def _count_files(sizes: list[int]) -> str:
    return f"{len(sizes)} file{'s' if len(sizes) != 1 else ''} of {sum(sizes)} bytes"


# --- a binlog of beanstalkd -----------------------------------------------------------------------


def _examine_binlogs(storage: Storage, path: Path, names: list[str], progress: Progress) -> Report:
    report = Report(path, BEANSTALKD)
    total_bytes = sum(map(storage.size, names))
    contents = read_binlogs(storage, lambda done_bytes: progress(done_bytes, total_bytes))
    for found in contents.files:
        file = FileReport(found.name, found.size, is_segment=False)
        file.jobs = found.job_records
        file.states = found.updates
        file.deletes = found.deletes
        report.files.append(file)
        report.format_version = found.version or report.format_version
    for facts in contents.jobs.values():
        report.add_job(facts)
    report.live_bytes = contents.live_bytes
    report.last_job_id = contents.last_job_id
    for flaw in contents.flaws:
        ids = [flaw.job_id] if flaw.job_id else []
        report.problems.append(Problem(flaw.file, flaw.offset, flaw.size, flaw.why, ids, str(flaw)))
    return report


# --- segments of ours -----------------------------------------------------------------------------


class _Home:
    """A record that counts: of a job, or of the pause of a tube."""

    __slots__ = ("facts", "file", "size")

    def __init__(self, file: FileReport, size: int, facts: JobFacts | None) -> None:
        self.file = file
        self.size = size
        #: Of a job, without its body.
        self.facts = facts


class _Segments:
    """Follows the records of all segments."""

    def __init__(
        self, storage: Storage, report: Report, manifest: Manifest | None, numbers: list[int]
    ) -> None:
        self._storage = storage
        self._report = report
        self._listed = manifest.segments if manifest is not None else []
        self._removed = manifest.removed if manifest is not None else []
        self._instance = manifest.instance if manifest is not None else b""
        self._numbers = sorted(numbers)
        #: How long segments were when they were left, as the heads behind them say.
        self._left_bytes: dict[int, int] = {}
        self._jobs: dict[int, _Home] = {}
        self._pauses: dict[bytes, _Home] = {}

    def read(self, progress: Progress) -> None:
        report = self._report
        present = []
        removed_bytes = []
        strange_bytes = []
        for number in self._numbers:
            if number in self._removed:
                removed_bytes.append(self._storage.size(segment_name(number)))
            elif self._listed and number not in self._listed and number < self._listed[-1]:
                strange_bytes.append(self._storage.size(segment_name(number)))
            else:
                present.append(number)
        report.unneeded_bytes = sum(removed_bytes) + sum(strange_bytes)
        if removed_bytes:
            report.notes.append(f"{_count_files(removed_bytes)} needed no more, and soon removed")
        if strange_bytes:
            report.notes.append(
                f"{_count_files(strange_bytes)} not in the manifest, as if somebody had put it "
                f"back; the next start of a server moves it to {DAMAGED}/"
            )
        total_bytes = sum(self._storage.size(segment_name(number)) for number in present)
        done_bytes = 0
        # Each is gone through when the one behind it was read, which tells how long it was.
        following = self._read_file(present[0]) if present else b""
        for place, number in enumerate(present):
            data = following
            is_end = place + 1 == len(present)
            following = b"" if is_end else self._read_file(present[place + 1])
            self._read_segment(number, data)
            done_bytes += len(data)
            progress(done_bytes, total_bytes)
        for number in self._listed:
            if number not in present:
                size = self._left_bytes.get(number, 0)
                self._tell(Problem(segment_name(number), 0, size, "the file is missing", []))
        report.instance = self._instance.hex()
        report.paused_tubes = len(self._pauses)
        for home in [*self._jobs.values(), *self._pauses.values()]:
            home.file.live_bytes += home.size
            report.live_bytes += home.size
            if home.facts is not None:
                home.file.live_jobs += 1
                report.add_job(home.facts)

    def _tell(self, problem: Problem) -> None:
        self._report.problems.append(problem)

    def _read_file(self, number: int) -> bytes:
        data = self._storage.read(segment_name(number))
        head = decode_head(data)
        if head is not None:
            self._instance = self._instance or head.instance
            if head.instance == self._instance and head.number == number:
                self._left_bytes[number - 1] = head.previous_bytes
        return data

    def _read_segment(self, number: int, data: bytes) -> None:
        name = segment_name(number)
        file = FileReport(name, len(data), is_segment=True)
        self._report.files.append(file)
        head = decode_head(data)
        if head is None:
            if not any(data) and number not in self._listed:
                return  # begun, and nothing written yet
            self._tell(Problem(name, 0, min(len(data), HEAD_BYTES), "its head is damaged", []))
        else:
            self._report.format_version = head.format_version
            self._report.last_job_id = max(self._report.last_job_id, head.last_job_id)
            if head.format_version > FORMAT_VERSION:
                reason = f"format {head.format_version} is unknown; a newer version reads it"
                self._tell(Problem(name, 0, len(data), reason, []))
                return
            if head.instance != self._instance or head.number != number:
                reason = "it belongs to another journal or place"
                self._tell(Problem(name, 0, len(data), reason, []))
                return
        instance = self._instance or bytes(INSTANCE_BYTES)
        scan = Scan(data, record_seed(instance, number), name)
        while scan.next():
            self._apply(data, scan, file)
        scan.end_at(self._left_bytes.get(number, 0))
        for damage in scan.damages:
            text = str(damage)
            if damage.is_torn_tail and number == self._numbers[-1]:
                text += "; a torn tail, which the next start of a server cuts off"
            self._tell(Problem(name, damage.offset, damage.size, damage.reason, damage.ids, text))

    def _apply(self, data: bytes, scan: Scan, file: FileReport) -> None:
        offset = scan.offset
        kind = type_at(data, offset)
        if kind == JOB:
            file.jobs += 1
            facts = decode_job(data, offset, scan.size)
            facts.body = None
            self._jobs[facts.id] = _Home(file, scan.size, facts)
            self._note_id(facts.id)
        elif kind == STATE:
            file.states += 1
            home = self._jobs.get(id_at(data, offset))
            if home is not None and home.facts is not None:
                home.facts.state = decode_state(data, offset).state
        elif kind == DELETE:
            file.deletes += 1
            job_id = id_at(data, offset)
            self._jobs.pop(job_id, None)
            self._note_id(job_id)
        else:
            file.pauses += 1
            pause = decode_pause(data, offset, scan.size)
            if pause.pause_s:
                self._pauses[pause.tube] = _Home(file, scan.size, None)
            else:
                self._pauses.pop(pause.tube, None)

    def _note_id(self, job_id: int) -> None:
        if job_id > self._report.last_job_id:
            self._report.last_job_id = job_id
