"""Compaction: what still counts moves out of segments that are mostly garbage.

Whoever makes garbage pays for it: for each byte of garbage that a tick makes, that tick passes over
a few bytes of an old segment, and copies from memory what still counts there to the end of the
journal. So the work of a tick is in proportion to what it has changed, and no pause is long.

How many: with a quarter as much garbage as there are live bytes, compaction begins; passing over
``PASSED_PER_GARBAGE`` bytes for each new one, it has been everywhere before much more garbage has
come about. So the files stay below twice the live bytes plus two segments, even while everything is
being deleted.

A segment with nothing that counts is removed without a look at it. So a queue through which jobs
pass quickly copies next to nothing, and old jobs that stay are not copied for those that pass: the
segment with the least to copy comes first, or rather the oldest one that it overrules.
"""

from __future__ import annotations

from typing import Final

from beanrow.engine.change import PauseFacts
from beanrow.engine.jobs import Jobs
from beanrow.journal.base import JournalFacts
from beanrow.journal.homes import Homes
from beanrow.journal.record import PAUSE_BYTES, encode_job, encode_pause, job_bytes
from beanrow.journal.segment import Segment
from beanrow.journal.writer import Writer
from beanrow.protocol.limits import MAX_TUBE_NAME_BYTES

#: Garbage is left alone up to this share of the live bytes, plus half a segment.
GARBAGE_SHARE: Final = 4

#: So many bytes of old segments are passed over for each byte of garbage made.
PASSED_PER_GARBAGE: Final = 8

_LONGEST_PAUSE_BYTES: Final = PAUSE_BYTES + MAX_TUBE_NAME_BYTES


class Compaction:
    """Works off what `Homes` says has been made, a little in each tick."""

    __slots__ = ("_facts", "_homes", "_jobs", "_next", "_segment_bytes", "_victim", "_writer")

    def __init__(
        self,
        writer: Writer,
        homes: Homes,
        jobs: Jobs,
        facts: JournalFacts,
        segment_bytes: int,
    ) -> None:
        self._writer = writer
        self._homes = homes
        self._jobs = jobs
        self._facts = facts
        self._segment_bytes = segment_bytes
        self._victim: Segment | None = None
        #: The place in its list of jobs up to which the victim is empty.
        self._next = 0

    def work(self) -> None:
        """Do as much as the changes since the last call have earned."""
        homes = self._homes
        left = homes.made_bytes * PASSED_PER_GARBAGE
        homes.made_bytes = 0
        while left > 0 and homes.garbage_bytes > self._tolerated_bytes():
            victim = self._victim
            if victim is None:
                victim = self._victim = self._choose()
                self._next = 0
                if victim is None:
                    return
                if self._writer.is_full:
                    left = max(
                        left, 2 * victim.used_bytes
                    )  # at once: nothing can be put until then
            passed = self._empty(victim, left)
            if not passed:
                return
            left -= passed

    def _tolerated_bytes(self) -> int:
        share = self._homes.live_bytes // GARBAGE_SHARE
        # On a full disk even a little room is worth the work.
        return share if self._writer.is_full else share + self._segment_bytes // 2

    def empty(self, segment: Segment) -> bool:
        """Move everything that counts out of a segment. False: there is no room for it."""
        self._next = 0
        while segment.homed_jobs or segment.homed_pauses:
            if not self._empty(segment, 2 * segment.used_bytes):
                return False
        return True

    def _choose(self) -> Segment | None:
        """The segment to empty next; None when enough garbage will go by itself."""
        segments = self._homes.segments
        current = self._writer.current
        # Nothing counts in these any more: once this tick is written they are buried.
        dying: set[Segment] = set()
        dying_bytes = 0
        best: Segment | None = None
        least = 1.0
        for segment in segments.values():
            if segment is current:
                continue
            share = segment.homed_bytes / segment.used_bytes
            if segment.homed_jobs or segment.homed_pauses or self._holds(segment, dying):
                if best is None or share < least:
                    best = segment
                    least = share
            else:
                dying.add(segment)
                dying_bytes += segment.used_bytes
        if self._homes.garbage_bytes - dying_bytes <= self._tolerated_bytes():
            return None
        if best is None and self._is_in_the_way(current) and self._writer.leave():
            return current
        while best is not None:
            older = [old for old in best.overrules if old.number in segments and old not in dying]
            if not older:
                break
            best = min(older, key=_number)
        if best is not None and self._writer.is_full and not self._has_room(best.homed_bytes):
            return None  # half a move would only take the room that is left
        return best

    def _is_in_the_way(self, current: Segment) -> bool:
        """Whether a full disk could have room if something else were written to."""
        return self._writer.is_full and 2 * current.homed_bytes < current.used_bytes

    def _holds(self, segment: Segment, dying: set[Segment]) -> bool:
        """Whether a segment overrules one that stays."""
        segments = self._homes.segments
        return any(old.number in segments and old not in dying for old in segment.overrules)

    def _empty(self, victim: Segment, most: int) -> int:
        """Move what counts out of a segment, passing over so many bytes; returns how many.

        0: there is no room to move anything to.
        """
        ids = victim.job_ids
        # What is gone has a size no more: the average stands for it.
        usual = max(1, victim.used_bytes // max(1, len(ids)))
        passed = 0
        while passed < most:
            if self._next == len(ids):
                if not self._has_room(victim.homed_pauses * _LONGEST_PAUSE_BYTES):
                    break
                passed += self._empty_pauses(victim)
                self._victim = None
                break
            job = self._jobs.get(ids[self._next])
            if job is not None and job.home is victim:
                size = job_bytes(job)
                if not self._has_room(size):
                    break
                segment = self._writer.place(size)
                segment.put(encode_job(job, segment.seed))
                self._homes.settle(job, segment)
                self._count()
            self._next += 1
            passed += usual
        return passed

    def _has_room(self, size: int) -> bool:
        try:
            ending_bytes = self._homes.ending_bytes(len(self._jobs))
            return self._writer.has_room_to_move(size, ending_bytes)
        except OSError:
            # It can wait. Who has something to write that cannot, hears of the trouble.
            return False

    def _empty_pauses(self, victim: Segment) -> int:
        for tube in victim.paused_tubes:
            home = self._homes.pauses.get(tube)
            if home is not None and home.segment is victim:
                self._move_pause(home.facts)
        return 1 + len(victim.paused_tubes) * PAUSE_BYTES

    def _move_pause(self, facts: PauseFacts) -> None:
        segment = self._writer.place(PAUSE_BYTES + len(facts.tube))
        segment.put(encode_pause(facts, segment.seed))
        self._homes.pause(facts, segment)
        self._count()

    def _count(self) -> None:
        self._facts.records_written += 1
        self._facts.records_migrated += 1


def _number(segment: Segment) -> int:
    return segment.number
