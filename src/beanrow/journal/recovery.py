"""From the files of a journal to a queue that goes on.

What is whole is replayed. A torn tail, which is how a loss of power leaves the last segment, is cut
off. Anything else that is damaged, foreign or missing is passed over: then all that survived is
written anew before anything is served, so that the damage ends here. Nothing that could not be read
is thrown away: it is in `damaged/`, and the log says what it was.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from beanrow.engine.replay import Replay
from beanrow.journal.base import JournalFacts
from beanrow.journal.binlog import BinlogContents, binlog_names
from beanrow.journal.compaction import Compaction
from beanrow.journal.errors import JournalError
from beanrow.journal.homes import Homes
from beanrow.journal.importing import folder_for, has_to_import, read_all
from beanrow.journal.manifest import NAMES as MANIFESTS
from beanrow.journal.manifest import Manifest, read_manifest, write_manifest
from beanrow.journal.record import (
    DELETE,
    JOB,
    PAUSE,
    STATE,
    decode_job,
    decode_pause,
    decode_state,
    encode_job,
    id_at,
    job_bytes,
    type_at,
)
from beanrow.journal.scan import Damage, Scan
from beanrow.journal.segment import (
    FORMAT_VERSION,
    HEAD_BYTES,
    INSTANCE_BYTES,
    Segment,
    decode_head,
    segment_name,
    segment_number,
)
from beanrow.journal.storage import File, Storage
from beanrow.journal.writer import Writer, is_no_room

log = logging.getLogger("beanrow.journal")

DAMAGED: Final = "damaged"

#: An empty file which says that an earlier sync has failed.
DOUBT: Final = "unsynced"

_PROGRESS_S: Final = 2.0
_RECORDS_PER_WRITE: Final = 1000


class Recovered:
    """A journal that is ready to be written to."""

    __slots__ = ("compaction", "homes", "manifest", "writer")

    def __init__(
        self, writer: Writer, homes: Homes, compaction: Compaction, manifest: Manifest
    ) -> None:
        self.writer = writer
        self.homes = homes
        self.compaction = compaction
        self.manifest = manifest


def recover(storage: Storage, segment_bytes: int, target: Replay, facts: JournalFacts) -> Recovered:
    """Replay what is in the directory, and begin a new segment in it.

    Raises `JournalError` when it cannot be used.
    """
    try:
        return _Recovery(storage, segment_bytes, target, facts).run()
    except OSError as error:
        raise JournalError(
            f"the journal cannot be read and written ({error}); see to the disk, or give another "
            "directory"
        ) from error


def note_doubt(storage: Storage) -> None:
    """Tell the next start that a sync has failed.

    What the kernel could not write it may still show, and call written: the next process would read
    it, sync it with success, and rely on what no disk has. So it has to write all of it anew. That
    the note itself may not reach the disk does no harm: what it warns of does not outlive it.
    """
    # A directory in which not even this can be made lets nobody start in it.
    with suppress(OSError):
        storage.create(DOUBT).close()


def remove_segment(storage: Storage, segment: Segment) -> None:
    """Remove a segment in which nothing counts; a damaged one is set aside. Raises `OSError`."""
    name = segment_name(segment.number)
    # Somebody else may have removed it; then there is nothing left to do.
    with suppress(FileNotFoundError):
        if segment.is_damaged:
            set_aside(storage, name)
        else:
            storage.remove(name)


def set_aside(storage: Storage, name: str) -> None:
    """Move a file to where nobody reads it, under a name that no other one has there."""
    storage.rename(name, f"{DAMAGED}/{name}-{secrets.token_hex(4)}")


class _Recovery:
    def __init__(
        self, storage: Storage, segment_bytes: int, target: Replay, facts: JournalFacts
    ) -> None:
        self._storage = storage
        self._target = target
        self._names = storage.names()
        manifest, bad_manifests = read_manifest(storage)
        self._bad_manifests = bad_manifests
        self._is_new = manifest is None
        self._manifest = manifest or Manifest(self._find_instance())
        self._writer = Writer(storage, segment_bytes, self._manifest.instance)
        self._homes = Homes(self._writer.segments)
        self._compaction = Compaction(self._writer, self._homes, target.jobs, facts, segment_bytes)
        self._damages: list[Damage] = []
        self._aside: list[str] = []
        #: How long segments were when they were left, as the heads behind them say.
        self._left_bytes: dict[int, int] = {}

    def run(self) -> Recovered:
        binlogs = binlog_names(self._names)
        is_import = has_to_import(self._manifest, self._names, binlogs, is_new=self._is_new)
        numbers = self._segments(is_import)
        contents = read_all(self._storage) if is_import else None
        self._replay(numbers)
        self._sync(self._storage)
        self._note_missing(numbers)
        self._writer.last_number = max(numbers + self._manifest.segments, default=0)
        if contents is not None:
            self._target.last_job_id = contents.last_job_id
            self._begin_import(binlogs)
        self._writer.last_job_id = self._target.last_job_id
        self._writer.adopt_spare()
        self._writer.begin(self._homes.ending_bytes(len(self._target.jobs)))
        is_doubtful = DOUBT in self._names
        if is_doubtful:
            log.warning("a sync has failed earlier: all that can be read is written anew")
        is_damaged = bool(self._damages or self._aside or is_doubtful)
        if contents is not None:
            self._import(contents, binlogs)
        elif is_damaged:
            self._write_anew(is_doubtful)
        if is_damaged or self._bad_manifests or binlogs:
            self._settle(binlogs)
        if is_doubtful:
            self._storage.remove(DOUBT)
        self._make_manifests()
        return Recovered(self._writer, self._homes, self._compaction, self._manifest)

    # --- which files ----------------------------------------------------------------------

    def _find_instance(self) -> bytes:
        """Without a manifest: of the journal that the first whole head is of, or a new one."""
        for name in self._names:
            if segment_number(name) is not None:
                head = decode_head(self._storage.read(name))
                if head is not None:
                    return head.instance
        return secrets.token_bytes(INSTANCE_BYTES)

    def _segments(self, is_import: bool) -> list[int]:
        """The numbers of the segments that belong to the journal; others go out of its way."""
        numbers: list[int] = []
        listed = self._manifest.segments
        for name in self._names:
            number = segment_number(name)
            if number is None:
                continue
            if is_import:
                self._storage.remove(name)  # a crash has interrupted it, and it begins again
            elif number in self._manifest.removed and self._is_ours(name, number):
                self._storage.remove(name)  # a crash has interrupted that
            elif listed and number not in listed and number < listed[-1]:
                size = self._storage.size(name)
                set_aside(self._storage, name)
                log.warning(
                    "%s: %d bytes from offset 0 on are not read: it is not in the manifest, as if "
                    "somebody had put it back; the file is kept in %s/",
                    *(name, size, DAMAGED),
                )
            else:
                numbers.append(number)
        return sorted(numbers)

    def _is_ours(self, name: str, number: int) -> bool:
        head = decode_head(self._storage.read(name))
        own = (self._manifest.instance, number)
        return head is not None and (head.instance, head.number) == own

    def _note_missing(self, numbers: list[int]) -> None:
        for number in self._manifest.segments:
            if number not in numbers:
                size = self._left_bytes.get(number, 0)
                damage = Damage(segment_name(number), 0, size, "the file is missing")
                self._damages.append(damage)
                log.error("%s; jobs deleted in it may come back", damage)

    # --- reading --------------------------------------------------------------------------

    def _replay(self, numbers: list[int]) -> None:
        total = sum(self._storage.size(segment_name(number)) for number in numbers)
        started_s = shown_s = time.monotonic()
        done = 0
        last = self._last_written(numbers)
        if last and self._is_new:
            log.error(
                "there are segments, and no manifest: one that is missing goes unnoticed, and jobs "
                "deleted in it come back"
            )
        following = self._read_file(numbers[0]) if numbers else b""
        for place, number in enumerate(numbers):
            data = following
            is_end = place + 1 == len(numbers)
            following = b"" if is_end else self._read_file(numbers[place + 1])
            self._read(number, data, number == last)
            done += len(data)
            if time.monotonic() - shown_s > _PROGRESS_S:
                shown_s = time.monotonic()
                log.info(
                    "reading the journal: %d%%, %d jobs so far",
                    100 * done // total,
                    len(self._target.jobs),
                )
        if numbers:
            log.info(
                "read the journal: %d jobs from %d segments, %.1f MB in %.1f s",
                len(self._target.jobs),
                len(numbers),
                total / 1e6,
                time.monotonic() - started_s,
            )

    def _last_written(self, numbers: list[int]) -> int:
        """The last segment that is not merely room; 0: there is none."""
        for number in reversed(numbers):
            if not _is_blank(self._storage.read(segment_name(number))):
                return number
        return 0

    def _read_file(self, number: int) -> bytes:
        """A segment; what its head says of the one before, not replayed yet, is noted."""
        data = self._storage.read(segment_name(number))
        head = decode_head(data)
        if head is not None and head.instance == self._manifest.instance and head.number == number:
            self._left_bytes[number - 1] = head.previous_bytes
        return data

    def _read(self, number: int, data: bytes, is_last: bool) -> None:
        """Replay one segment."""
        name = segment_name(number)
        segment = Segment(number, self._manifest.instance)
        head = decode_head(data)
        if head is None:
            if _is_blank(data) and number not in self._manifest.segments:
                self._storage.remove(name)  # begun, and nothing written yet
                return
            segment.is_damaged = True
            self._tell(Damage(name, 0, min(len(data), HEAD_BYTES), "its head is damaged"))
        elif head.format_version > FORMAT_VERSION:
            raise JournalError(
                f"{name} is of format {head.format_version}, and this version knows formats up to "
                f"{FORMAT_VERSION}; use the version of beanrow that wrote it, or a newer one"
            )
        elif head.instance != self._manifest.instance or head.number != number:
            self._tell(Damage(name, 0, len(data), "it belongs to another journal or place"))
            self._aside.append(name)
            return
        else:
            self._target.last_job_id = max(self._target.last_job_id, head.last_job_id)
        self._writer.segments[number] = segment
        scan = Scan(data, segment.seed, name)
        _apply(scan, data, segment, self._target, self._homes)
        scan.end_at(self._left_bytes.get(number, 0))
        segment.used_bytes = segment.written_bytes = scan.offset
        segment.allocated_bytes = len(data)
        self._see_to_damage(scan, data, segment, is_last)

    def _see_to_damage(self, scan: Scan, data: bytes, segment: Segment, is_last: bool) -> None:
        name = segment_name(segment.number)
        if is_last and not segment.is_damaged and len(scan.damages) == 1:
            tail = scan.damages[0]
            if tail.is_torn_tail:
                is_kept = self._keep(f"{name}-tail", data[tail.offset : tail.offset + tail.size])
                kept = f"kept in {DAMAGED}/" if is_kept else "not kept, for want of room"
                log.warning("%s; a torn tail: cut off, and %s", tail, kept)
                segment.used_bytes = segment.written_bytes = tail.offset
                scan.damages.clear()
        for damage in scan.damages:
            segment.is_damaged = True
            # What is behind the end of all that was found takes no room.
            self._homes.note(min(damage.size, scan.offset - damage.offset))
            self._tell(damage)
        # What is served from now on may have been written but never synced.
        file = self._storage.open(name)
        if not segment.is_damaged and len(data) > segment.used_bytes:
            file.truncate(segment.used_bytes)
            segment.allocated_bytes = segment.used_bytes
        self._sync(file)
        file.close()

    def _tell(self, damage: Damage) -> None:
        self._damages.append(damage)
        log.error("%s; the file is kept in %s/", damage, DAMAGED)

    def _keep(self, name: str, data: bytes) -> bool:
        """Make a file of what is cut off, and set it aside. False: there is no room for it."""
        if name in self._names:
            self._storage.remove(name)  # a crash has interrupted that
        try:
            self._write_file(name, data)
            set_aside(self._storage, name)
        except OSError as error:
            if not is_no_room(error):
                raise
            if name in self._storage.names():
                self._storage.remove(name)
            return False
        return True

    def _write_file(self, name: str, data: bytes) -> None:
        file = self._storage.create(name)
        try:
            offset = 0
            while offset < len(data):
                offset += file.write(data[offset:], offset)
            self._sync(file)
        finally:
            file.close()

    # --- writing --------------------------------------------------------------------------

    def _begin_import(self, binlogs: list[str]) -> None:
        """From here on, until the manifest names segments, all segments are of the import."""
        self._set_manifests_aside()
        self._manifest.imported = binlogs
        self._write_manifest()

    def _import(self, contents: BinlogContents, binlogs: list[str]) -> None:
        """Write the jobs of beanstalkd's binlog into segments of our own."""
        for count, facts in enumerate(contents.jobs.values(), 1):
            job = self._target.put(facts)
            segment = self._writer.place(job_bytes(job))
            segment.put(encode_job(job, segment.seed))
            self._homes.settle(job, segment)
            if count % _RECORDS_PER_WRITE == 0:
                self._write_out()
        self._writer.keep_room(self._homes.ending_bytes(len(self._target.jobs)))
        folder = folder_for(self._storage, self._manifest, binlogs)
        for flaw in contents.flaws:
            log.error("%s; the file is kept in %s/", flaw, folder)
        log.info(
            "importing %d jobs from %d files of beanstalkd, which go to %s/",
            len(contents.jobs),
            len(contents.files),
            folder,
        )

    def _write_anew(self, is_doubtful: bool) -> None:
        """Empty the damaged segments, and those that they overrule; in doubt, all.

        What an earlier attempt has moved stays where it is, and what is empty goes at once: so
        attempts that are interrupted do not fill the disk. Only what is overruled by something
        doubtful waits until that is written anew.
        """
        old = [one for one in self._writer.segments.values() if one is not self._writer.current]
        last = max((one.number for one in old if one.is_damaged or is_doubtful), default=0)
        for place, segment in enumerate(old, 1):
            if segment.number > last:
                return
            if not self._compaction.empty(segment):
                raise JournalError(
                    "the journal is damaged, and there is no room to write what survived anew; "
                    f"make room for {self._homes.live_bytes} bytes more"
                )
            self._writer.write_out()
            if self._writer.open_behind:
                self._let_go(old[place:] if is_doubtful else ())

    def _write_out(self) -> None:
        """Write what was put into segments, and close those that were left: they may be many."""
        self._writer.write_out()
        if self._writer.open_behind:
            self._sync_written()

    def _sync_written(self) -> None:
        for segment in dict.fromkeys(self._writer.take_written()):
            assert segment.file is not None, "what was written is open until it is synced"
            self._sync(segment.file)
        self._writer.close_behind()

    def _settle(self, binlogs: list[str]) -> None:
        """Put everything into the place where it belongs from now on."""
        self._let_go()
        for name in self._aside:
            set_aside(self._storage, name)
        folder = folder_for(self._storage, self._manifest, binlogs)
        for name in binlogs:
            self._storage.rename(name, f"{folder}/{name}")
        self._storage.sync()
        if binlogs:
            self._manifest.imported = []
            self._write_manifest()

    def _let_go(self, unsure: Sequence[Segment] = ()) -> None:
        """Make what was written durable, then remove what it replaces."""
        self._writer.write_out()
        self._sync_written()
        self._sync(self._storage)
        removed = self._homes.bury_dead(unsure)
        self._set_manifests_aside()
        self._manifest.segments = list(self._writer.segments)
        self._manifest.removed = [one.number for one in removed if not one.is_damaged]
        self._write_manifest()
        for segment in removed:
            remove_segment(self._storage, segment)

    def _make_manifests(self) -> None:
        """Make both files now: a full disk has room to write them again, not to make them."""
        names = self._storage.names()
        segments = self._writer.segments.values()
        for name in MANIFESTS:
            if name not in names:
                self._manifest.segments = [one.number for one in segments if one.written_bytes]
                self._write_manifest()

    def _set_manifests_aside(self) -> None:
        for name in self._bad_manifests:
            log.warning(
                "%s: %d bytes from offset 0 on are lost (it was not written to its end, or is "
                "damaged); the file is kept in %s/",
                name,
                self._storage.size(name),
                DAMAGED,
            )
            set_aside(self._storage, name)
        self._bad_manifests = []

    def _write_manifest(self) -> None:
        self._manifest.turn += 1
        try:
            write_manifest(self._storage, self._manifest)
        except OSError as error:
            if not is_no_room(error):  # it may have been the sync
                note_doubt(self._storage)
            raise

    def _sync(self, what: File | Storage) -> None:
        try:
            what.sync()
        except OSError:
            note_doubt(self._storage)
            raise


def _is_blank(data: bytes) -> bool:
    return data.count(0) == len(data)


def _apply(scan: Scan, data: bytes, segment: Segment, target: Replay, homes: Homes) -> None:
    while scan.next():
        offset = scan.offset
        kind = type_at(data, offset)
        if kind == JOB:
            homes.settle(target.put(decode_job(data, offset, scan.size)), segment)
        elif kind == STATE:
            job = target.update(decode_state(data, offset))
            if job is not None:
                homes.update(job, segment)
            else:
                homes.note(scan.size)
        elif kind == DELETE:
            job = target.delete(id_at(data, offset))
            if job is not None:
                homes.leave(job, segment)
            else:
                homes.note(scan.size)
        elif kind == PAUSE:
            facts = decode_pause(data, offset, scan.size)
            target.pause(facts)
            homes.pause(facts, segment)
    homes.made_bytes = 0
