"""Where the next record goes, and the room for it.

Room is allocated on the disk before a record is promised a place: what does not fit is refused
before anything has happened, and a write finds its room. Beside the segment that is written to
there is a file named `spare`, long enough for all **endings**: a DELETE of every job there is, and
the end of every pause. When the disk is full, the spare becomes the next segment. So deleting is
always possible.
"""

from __future__ import annotations

import errno
import logging
from typing import Final

from beanrow.journal.errors import JournalError
from beanrow.journal.segment import HEAD_BYTES, Segment, encode_head, segment_name
from beanrow.journal.storage import File, Storage

log = logging.getLogger("beanrow.journal")

SPARE: Final = "spare"

#: Room is allocated so far ahead, or an eighth of a segment if that is less.
_AHEAD_BYTES: Final = 1 << 20
#: The spare is longer by half of this, at least, than the endings need, so that the last jobs of a
#: segment can be moved on a full disk. It grows and shrinks by so much, or an eighth of a segment
#: if that is less.
_SPARE_STEP_BYTES: Final = 1 << 18

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_no_room(error: OSError) -> bool:
    """Whether there was no room; any other error is trouble with the disk itself."""
    return error.errno in _NO_ROOM


class Writer:
    """The segments of a journal that are there, and the one that is written to."""

    def __init__(self, storage: Storage, segment_bytes: int, instance: bytes) -> None:
        self.storage = storage
        self.instance = instance
        #: By number, in ascending order. Once begun, `current` is the last of them.
        self.segments: dict[int, Segment] = {}
        self.current = Segment(0, instance)
        self.last_number = 0
        self.last_job_id = 0
        self._segment_bytes = segment_bytes
        self._ahead_bytes = min(_AHEAD_BYTES, segment_bytes // 8)
        self._spare_step_bytes = max(1, min(_SPARE_STEP_BYTES, segment_bytes // 8))
        self._spare: File | None = None
        self._spare_bytes = 0
        #: Whether the disk gave no more room when it was last asked.
        self.is_full = False
        #: Why the next segment cannot be begun, though there may be room.
        self._hindrance: OSError | None = None
        # Left since the last `write_out`, which has still to write their ends.
        self._left: list[Segment] = []
        self._written: list[Segment] = []
        #: Segments that were left and are still open, as they may have to be synced.
        self.open_behind: list[Segment] = []

    # --- room -----------------------------------------------------------------------------

    def total_bytes(self) -> int:
        """What all segments and the spare take on the disk."""
        return self._spare_bytes + sum(s.allocated_bytes for s in self.segments.values())

    def has_room(self, size: int, ending_bytes: int) -> bool:
        """Whether records of so many bytes fit, and besides what must always be possible.

        Raises `OSError` when the disk cannot tell.
        """
        end = self.current.used_bytes + size
        kept_bytes = self._spare_step_bytes // 2
        spare = HEAD_BYTES + ending_bytes + kept_bytes
        if end <= self.current.allocated_bytes and spare <= self._spare_bytes:
            return True
        try:
            if end > self.current.allocated_bytes:
                self._allocate(self.current, end + self._ahead_bytes)
            if spare > self._spare_bytes:
                self._grow_spare(spare + kept_bytes)
        except OSError as error:
            if not is_no_room(error):
                raise
            self.is_full = True
            # On a full disk the spare may be what is written to: its rest is for endings and moves.
            return end + ending_bytes + kept_bytes <= self.current.allocated_bytes
        self.is_full = False
        return True

    def has_room_to_move(self, size: int, ending_bytes: int) -> bool:
        """The same for what is moved, to make room: on a full disk, into the last there is.

        Raises `OSError` when the disk cannot tell.
        """
        needed = size + ending_bytes
        return (
            self.has_room(size, ending_bytes)
            or self.current.used_bytes + needed <= self.current.allocated_bytes
            or HEAD_BYTES + needed <= self._spare_bytes
        )

    def adopt_spare(self) -> None:
        """Take over the spare that an earlier run has left. Raises `OSError`."""
        if SPARE in self.storage.names():
            self._spare = self.storage.open(SPARE)
            self._spare_bytes = self.storage.size(SPARE)
            data = self.storage.read(SPARE)
            if data.count(0) < len(data):  # it was to become a segment
                self._spare.truncate(0)
                self._spare_bytes = 0

    def shrink_spare(self, ending_bytes: int) -> None:
        """Give room back to the disk that will not be needed."""
        needed = HEAD_BYTES + ending_bytes + self._spare_step_bytes
        if self._spare is not None and self._spare_bytes > needed + 2 * self._spare_step_bytes:
            self._spare.truncate(needed)
            self._spare_bytes = needed

    def _grow_spare(self, size: int) -> None:
        if self._spare is None:
            self._spare = self.storage.create(SPARE)
        self._spare.allocate(size)
        self._spare_bytes = size

    def _allocate(self, segment: Segment, size: int) -> None:
        assert segment.file is not None, "the segment is open"
        segment.file.allocate(size)
        segment.allocated_bytes = size

    # --- the next record ------------------------------------------------------------------

    def begin(self, ending_bytes: int) -> None:
        """Begin the first segment of this run. Raises as `keep_room`."""
        self.keep_room(ending_bytes)
        try:
            segment = self._new_segment(HEAD_BYTES + self._ahead_bytes)
        except OSError as error:
            if not is_no_room(error):
                raise
            self.is_full = True
            if not self._begin_spare():
                raise
        else:
            self._go_on_in(segment)

    def keep_room(self, ending_bytes: int) -> None:
        """Have a spare for all endings, though nobody has asked `has_room` yet.

        A loss of power may have taken the spare that was there, or made it what it was before.
        Raises `JournalError` when there is no room for it, `OSError` when the disk fails.
        """
        needed = HEAD_BYTES + ending_bytes
        if needed <= self._spare_bytes:
            return
        try:
            self._grow_spare(needed)
        except OSError as error:
            if not is_no_room(error):
                raise
            raise JournalError(
                "there is no space on the disk to delete every job, as must always be possible; "
                f"have {needed - self._spare_bytes} bytes free"
            ) from error

    def place(self, size: int) -> Segment:
        """The segment to put the next record into, which has so many bytes.

        If the disk gives no more room it is put where it may still fit: writing it will tell.
        """
        current = self.current
        end = current.used_bytes + size
        is_long = end > self._segment_bytes and current.used_bytes > HEAD_BYTES
        if end <= current.allocated_bytes and (not is_long or self.is_full):
            return current
        try:
            if is_long:
                self._go_on_in(self._new_segment(HEAD_BYTES + size + self._ahead_bytes))
            else:
                self._allocate(current, end + self._ahead_bytes)
        except OSError as error:
            if is_no_room(error):
                self.is_full = True
            else:
                self._hindrance = error
            if end > current.allocated_bytes:
                self._begin_spare()
        return self.current

    def leave(self) -> bool:
        """Go on in the spare, so that what is written to can be emptied. False: there is none."""
        return self._begin_spare()

    def write_out(self) -> None:
        """Write all that was put into segments.

        Raises `OSError`; what was not written then, is at the next call. Also when the next
        segment could not be begun: what somebody does to a directory under a running server must
        not go unnoticed until the disk is full of one segment.
        """
        if self._hindrance is not None:
            self._go_on_in(self._new_segment(HEAD_BYTES + self._ahead_bytes))
            self._hindrance = None
        while self._left:
            self._write_out(self._left[0])
            del self._left[0]
        self._write_out(self.current)

    def take_written(self) -> list[Segment]:
        """The segments written to since this was last asked."""
        written, self._written = self._written, []
        return written

    def close_behind(self) -> None:
        """Close what was left; all of it must be written and synced."""
        for segment in self.open_behind:
            segment.close()
        self.open_behind.clear()

    def close(self) -> None:
        self.close_behind()
        self.current.close()
        if self._spare is not None:
            self._spare.close()

    def _new_segment(self, size: int) -> Segment:
        segment = Segment(self.last_number + 1, self.instance)
        name = segment_name(segment.number)
        self._clear(name)
        segment.file = self.storage.create(name)
        try:
            self._allocate(segment, size)
        except OSError:
            segment.file.close()
            self.storage.remove(name)
            raise
        return segment

    def _clear(self, name: str) -> None:
        """Remove what an attempt that failed has left under the name of the next segment."""
        if name in self.storage.names():
            self.storage.remove(name)

    def _begin_spare(self) -> bool:
        """Go on in the room that was kept for DELETEs. False: it is in use already."""
        if self._spare is None or self._spare_bytes <= HEAD_BYTES:
            return False
        segment = Segment(self.last_number + 1, self.instance)
        name = segment_name(segment.number)
        try:
            self._clear(name)
            self.storage.rename(SPARE, name)
        except OSError as error:
            log.error("the file `%s` cannot be used: %s", SPARE, error)
            return False
        segment.file = self._spare
        segment.allocated_bytes = self._spare_bytes
        self._spare = None
        self._spare_bytes = 0
        self._go_on_in(segment)
        return True

    def _go_on_in(self, segment: Segment) -> None:
        left = self.current
        if left.file is not None:
            self._left.append(left)
            self.open_behind.append(left)
            try:
                left.file.truncate(left.used_bytes)
                left.allocated_bytes = left.used_bytes
            except OSError as error:
                log.warning("segment %d keeps room that is not needed: %s", left.number, error)
        # Of a file that an earlier run has left, too; `current` is none then.
        before = self.segments.get(self.last_number)
        before_bytes = 0 if before is None else before.used_bytes
        head = encode_head(self.instance, segment.number, self.last_job_id, before_bytes)
        segment.put(head)
        self.last_number = segment.number
        self.segments[segment.number] = segment
        self.current = segment

    def _write_out(self, segment: Segment) -> None:
        unwritten = segment.unwritten
        if not unwritten:
            return
        assert segment.file is not None, "the segment is open"
        self._written.append(segment)
        data = unwritten[0] if len(unwritten) == 1 else b"".join(unwritten)
        start = 0
        try:
            while start < len(data):
                rest = data[start:] if start else data
                count = segment.file.write(rest, segment.written_bytes)
                segment.written_bytes += count
                start += count
        except OSError:
            segment.unwritten = [data[start:]]
            raise
        unwritten.clear()
