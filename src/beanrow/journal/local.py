"""The journal on this machine's disk: append-only segments, group commit, compaction.

The strategy. All changes of a tick are written in one call, and one sync covers them, which a
thread waits for. While it waits the loop goes on, and what it executes meanwhile shares the next
sync.

What must be durable before a reply may leave is the policy:

* ``sync_interval_ms`` 0: the sync that covers the change has ended.
* N: the change was handed to the operating system; a sync follows within N milliseconds.
* None: the same, and no sync follows soon.

Whatever the policy, what was moved out of a segment is synced before it is removed, and no more
than a few segments are ever left unsynced.

When a write fails, what it should have written is kept and written later: `trouble` until then.
When a sync fails, nobody knows what the disk has got, and asking again would be answered with a
success that means nothing: `trouble` until a restart, which reads what is there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from beanrow.engine.change import Changes, PauseFacts
from beanrow.engine.job import GONE, Job
from beanrow.engine.jobs import Jobs
from beanrow.engine.replay import Replay
from beanrow.engine.tube import Tube
from beanrow.journal.base import ADMITTED, BROKEN, FULL, NEVER_NS, Journal
from beanrow.journal.checksum import IS_FAST
from beanrow.journal.compaction import Compaction
from beanrow.journal.homes import Homes
from beanrow.journal.manifest import Manifest, write_manifest
from beanrow.journal.record import (
    DELETE_BYTES,
    JOB_BYTES,
    PAUSE_BYTES,
    STATE_BYTES,
    encode_delete,
    encode_job,
    encode_pause,
    encode_state,
    job_bytes,
)
from beanrow.journal.recovery import note_doubt, recover, remove_segment
from beanrow.journal.segment import Segment, segment_name
from beanrow.journal.storage import Storage
from beanrow.journal.syncer import Syncer, ThreadSyncer
from beanrow.journal.writer import Writer
from beanrow.protocol.limits import MAX_TUBE_NAME_BYTES

log = logging.getLogger("beanrow.journal")

_NS_PER_MS: Final = 1_000_000

#: The longest record of a change of state.
_UPDATE_BYTES: Final = max(STATE_BYTES, PAUSE_BYTES + MAX_TUBE_NAME_BYTES)

#: After a failed write, the next attempt comes so soon.
_RETRY_NS: Final = 1_000_000_000

#: Each of them is open; so some are synced now and then even when no reply waits for it.
_MOST_UNSYNCED: Final = 4


class LocalJournal(Journal):
    """Segments in a directory.

    ``segment_bytes`` is when the next segment is begun. Raises `JournalError` from `replay`.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        segment_bytes: int,
        sync_interval_ms: int | None,
        syncer: Syncer | None = None,
    ) -> None:
        super().__init__()
        self._storage = storage
        self._segment_bytes = segment_bytes
        self._waits_for_sync = sync_interval_ms == 0
        self._syncs_often = sync_interval_ms is not None
        self._interval_ns = (sync_interval_ms or 0) * _NS_PER_MS
        self._syncer = ThreadSyncer() if syncer is None else syncer
        self._wake: Callable[[], None] = _nobody
        self._jobs = Jobs()
        #: Positions: of the last change that was appended, and of the last that was written.
        self._appended = 0
        self._written = 0
        #: What was admitted since the last `commit`, done or not; and what the ends of the pauses
        #: in it may take (the DELETEs of its jobs need no counting: the jobs are there).
        self._promised_bytes = 0
        self._promised_ending_bytes = 0
        self._is_broken = False
        # Shared with the thread that syncs, which swaps them for empty ones.
        self._lock = threading.Lock()
        self._unsynced: list[Segment] = []
        self._under_sync: list[Segment] = []
        #: Whether the syncer was asked, and has not begun.
        self._is_requested = False
        #: The number of the last segment that was ever in `_unsynced`.
        self._last_begun = 0
        self._removed: list[Segment] = []
        self._lingering_bytes = 0
        #: Held while a sync is under way.
        self._syncing = threading.Lock()
        self._manifest: Manifest
        self._writer: Writer
        self._homes: Homes
        self._compaction: Compaction
        self._is_open = False

    def replay(self, target: Replay, wake: Callable[[], None]) -> None:
        if not IS_FAST:
            log.warning(
                "checksums are computed in Python, which is slow; pip install google-crc32c"
            )
        self._storage.lock()
        self._wake = wake
        self._jobs = target.jobs
        recovered = recover(self._storage, self._segment_bytes, target, self.facts)
        self._writer = recovered.writer
        self._homes = recovered.homes
        self._compaction = recovered.compaction
        self._manifest = recovered.manifest
        self._is_open = True
        self._syncer.start(self._sync, self._interval_ns)
        # The head of the new segment; and what is dead goes now.
        self._appended = 1
        self._homes.has_news = True
        self.commit()

    # --- room -----------------------------------------------------------------------------

    def admit_put(self, tube_bytes: int, body_bytes: int) -> int:
        return self._admit(JOB_BYTES + tube_bytes + body_bytes, DELETE_BYTES)

    def admit_updates(self, count: int) -> int:
        # Any of them may be a pause, and the end of that must be possible, too.
        size = count * _UPDATE_BYTES
        answer = self._admit(size, size)
        if answer == ADMITTED:
            self._promised_ending_bytes += size
        return answer

    def admit_deletes(self) -> int:
        # Not refused for want of room; but what it takes, no put of this tick may be promised.
        self._promised_bytes += DELETE_BYTES
        return BROKEN if self.trouble else ADMITTED

    def _admit(self, size: int, ending_bytes: int) -> int:
        """Whether there is room for a record, and later for the ending that it calls for."""
        if self.trouble or self._is_broken:
            return BROKEN
        size += self._promised_bytes
        ending_bytes += self._promised_ending_bytes + self._homes.ending_bytes(len(self._jobs))
        try:
            if not self._writer.has_room(size, ending_bytes):
                return FULL
        except OSError as error:
            log.error("no room can be allocated: %s", error)
            return BROKEN
        self._promised_bytes = size
        return ADMITTED

    def segment_of(self, job: Job) -> int:
        home = job.home
        # One put in this tick has none yet; it is about to be written here.
        return home.number if isinstance(home, Segment) else self._writer.current.number

    # --- changes --------------------------------------------------------------------------

    def append(self, changes: Changes) -> None:
        if not self._is_broken:
            highest = self._writer.last_job_id
            for job in changes.jobs:
                if job.state == GONE:
                    self._append_delete(job)
                    highest = max(highest, job.id)
                elif job.home is None:
                    self._append_job(job)
                else:
                    self._append_state(job)
            if highest > self._writer.last_job_id:
                # Jobs that came and went have left no record, but their ids were told.
                self._append_id(highest)
            for tube in changes.pauses:
                self._append_pause(tube)
        # Also when it is broken: what is dropped then has a position that is never durable.
        self._appended += 1
        changes.clear()

    def _append_job(self, job: Job) -> None:
        segment = self._writer.place(job_bytes(job))
        segment.put(encode_job(job, segment.seed))
        self._homes.settle(job, segment)
        if job.id > self._writer.last_job_id:
            self._writer.last_job_id = job.id
        self.facts.records_written += 1

    def _append_state(self, job: Job) -> None:
        segment = self._writer.place(STATE_BYTES)
        segment.put(encode_state(job, segment.seed))
        self._homes.update(job, segment)
        self.facts.records_written += 1

    def _append_delete(self, job: Job) -> None:
        if job.home is not None:
            segment = self._writer.place(DELETE_BYTES)
            segment.put(encode_delete(job.id, segment.seed))
            self._homes.leave(job, segment)
            self.facts.records_written += 1

    def _append_id(self, job_id: int) -> None:
        segment = self._writer.place(DELETE_BYTES)
        segment.put(encode_delete(job_id, segment.seed))
        self._homes.note(DELETE_BYTES)
        self._writer.last_job_id = job_id
        self.facts.records_written += 1

    def _append_pause(self, tube: Tube) -> None:
        facts = PauseFacts(tube.name, tube.pause_s if tube.paused else 0, tube.unpause_at_ns)
        segment = self._writer.place(PAUSE_BYTES + len(tube.name))
        segment.put(encode_pause(facts, segment.seed))
        self._homes.pause(facts, segment)
        self.facts.records_written += 1

    def commit(self) -> int:
        if self._writer.open_behind:
            self._close_behind()
        self._promised_bytes = 0
        self._promised_ending_bytes = 0
        if self._written != self._appended and not self._is_broken:
            self._compaction.work()
            self._write()
            self._shrink_spare()
            self._update_facts()
            if self._lingering_bytes and self._is_long():
                self._sync()
        return self._appended

    def _close_behind(self) -> None:
        """Close what is synced and will not be written to any more.

        Here, not in the thread, which cannot know what is being written just now.
        """
        still_open = []
        with self._lock:
            for segment in self._writer.open_behind:
                if segment.unwritten or segment in self._unsynced or segment in self._under_sync:
                    still_open.append(segment)
                else:
                    segment.close()
        self._writer.open_behind = still_open

    def _shrink_spare(self) -> None:
        try:
            self._writer.shrink_spare(self._homes.ending_bytes(len(self._jobs)))
        except OSError as error:
            log.warning("the file `spare` keeps room that is not needed: %s", error)

    def _is_long(self) -> bool:
        """Whether what is dead must go before more is written, or the files grow too large."""
        size = self._writer.total_bytes() + self._lingering_bytes
        most = 2 * self._homes.live_bytes + 2 * self._segment_bytes
        return size > most - self._segment_bytes // 8

    def retry_ns(self) -> int:
        return _RETRY_NS if self.trouble and not self._is_broken else NEVER_NS

    def _write(self) -> None:
        try:
            self._writer.write_out()
        except OSError as error:
            self.trouble = f"the journal cannot be written: {error}"
            return
        finally:
            with self._lock:
                for segment in self._writer.take_written():
                    if segment not in self._unsynced:
                        self._unsynced.append(segment)
                    if segment.written_bytes:
                        self._last_begun = segment.number
        self._end_trouble()
        self._written = self._appended
        if not self._waits_for_sync:
            self.durable = self._written
        if self._homes.has_news:
            dead = self._homes.bury_dead()
            with self._lock:
                self._removed += dead
                self._lingering_bytes += _allocated_bytes(dead)
        self._request_sync()

    def _request_sync(self) -> None:
        with self._lock:
            are_many = len(self._unsynced) > _MOST_UNSYNCED
            is_wanted = self._syncs_often or are_many or bool(self._removed)
            is_asked_for, self._is_requested = self._is_requested, is_wanted
        if are_many:
            self._syncer.hurry()
        elif is_wanted and not is_asked_for:
            self._syncer.request()

    def _end_trouble(self) -> None:
        """All that was to be written is; but a sync may have failed meanwhile."""
        if self.trouble:
            with self._lock:
                if not self._is_broken:
                    self.trouble = ""

    # --- the disk: nearly always in the thread of the syncer ------------------------------

    def _sync(self) -> None:
        """Sync what was written, then let the segments go that nobody needs."""
        with self._syncing:
            if self._is_broken:
                return
            try:
                self._sync_all()
            except BaseException as error:
                # In a thread that nobody watches: replies must not wait for it for ever.
                self._break(f"the journal was ended by a defect: {error!r}")
                raise

    def _sync_all(self) -> None:
        with self._lock:
            position = self._written
            self._is_requested = False
            unsynced, self._unsynced = self._unsynced, []
            self._under_sync = unsynced
            removed, self._removed = self._removed, []
            # None that is only being written: each is synced before the manifest names it.
            last = self._last_begun
            numbers = [number for number in list(self._writer.segments) if number <= last]
        has_new = bool(numbers) and numbers[-1] not in self._manifest.segments
        try:
            for segment in unsynced:
                assert segment.file is not None, "an unsynced segment is open"
                # A dead one, too: until it is removed, it overrules older ones.
                segment.file.sync()
            if has_new:
                self._storage.sync()
        except OSError as error:
            note_doubt(self._storage)
            self._break(
                f"the journal cannot be synced ({error}): what was written may be lost, and "
                "nothing more is accepted; restart the server when the disk is well"
            )
            return
        if self._waits_for_sync and position > self.durable:
            self.durable = position
            self._wake()
        if has_new or removed:
            self._tidy(numbers, removed, is_durable=has_new)
        with self._lock:
            self._under_sync = []
        if len(unsynced) > 1:
            self._wake()  # some of them can be closed, which gives the room of dead ones back

    def _break(self, why: str) -> None:
        with self._lock:
            self._is_broken = True
            self.trouble = why
        self._wake()

    def _tidy(self, numbers: list[int], removed: list[Segment], *, is_durable: bool) -> None:
        """Write the manifest, then remove; `is_durable`: what was removed before, is for good."""
        # When it cannot be written its turn comes again: the other file must stay whole meanwhile.
        manifest = Manifest(self._manifest.instance, self._manifest.turn + 1)
        manifest.segments = numbers
        earlier = () if is_durable else self._manifest.removed
        manifest.removed = sorted({*earlier, *(segment.number for segment in removed)})
        left = list(removed)
        try:
            write_manifest(self._storage, manifest)
        except OSError as error:
            log.warning("segments that nobody needs stay for now: %s", error)
        else:
            self._manifest = manifest
            left = self._remove(removed)
        with self._lock:
            self._removed += left
            self._lingering_bytes -= _allocated_bytes(removed) - _allocated_bytes(left)

    def _remove(self, segments: list[Segment]) -> list[Segment]:
        """Returns those that could not be removed now."""
        left = []
        for segment in segments:
            try:
                remove_segment(self._storage, segment)
            except OSError as error:
                log.warning("%s stays for now: %s", segment_name(segment.number), error)
                left.append(segment)
        return left

    # --- the rest -------------------------------------------------------------------------

    def _update_facts(self) -> None:
        self.facts.current_index = self._writer.current.number
        self.facts.oldest_index = next(iter(self._writer.segments))

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._syncer.close()
            if not self._is_broken:
                self._write()
                self._sync()
            if self.trouble:
                log.error("closed in trouble: %s", self.trouble)
            self._writer.close()
        self._storage.close()


def _nobody() -> None:
    pass


def _allocated_bytes(segments: list[Segment]) -> int:
    return sum(segment.allocated_bytes for segment in segments)
