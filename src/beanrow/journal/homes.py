"""Which records still count: the homes of jobs and pauses, and which segments are dead.

A job has one home, the segment with the last record of the whole of it. Records of its later
states may be anywhere behind; they are garbage as soon as the job gets a new home, or is gone.
"""

from __future__ import annotations

from collections.abc import Sequence

from beanrow.engine.change import PauseFacts
from beanrow.engine.job import Job
from beanrow.journal.record import DELETE_BYTES, PAUSE_BYTES, STATE_BYTES, job_bytes
from beanrow.journal.segment import HEAD_BYTES, Segment


class PauseHome:
    """Where the pause of a tube has its home, and what it says."""

    __slots__ = ("facts", "segment")

    def __init__(self, facts: PauseFacts, segment: Segment) -> None:
        self.facts = facts
        self.segment = segment


class Homes:
    """Told of every record, in order, when it is written and when it is replayed."""

    __slots__ = (
        "garbage_bytes",
        "has_news",
        "live_bytes",
        "made_bytes",
        "pause_bytes",
        "pauses",
        "segments",
    )

    def __init__(self, segments: dict[int, Segment]) -> None:
        #: The segments that are there, by number; the last one is written to.
        self.segments = segments
        #: What the records of all jobs and pauses would take, were each written once.
        self.live_bytes = 0
        #: What all other records take.
        self.garbage_bytes = 0
        #: How much of that has come about by changes; whoever looks sets it back.
        self.made_bytes = 0
        self.pauses: dict[bytes, PauseHome] = {}
        #: What their records take, and those of their ends will.
        self.pause_bytes = 0
        #: Whether a segment may have died since the last `bury_dead`.
        self.has_news = False

    def settle(self, job: Job, segment: Segment) -> None:
        """The whole job has been written to a segment, for the first time or again."""
        size = job_bytes(job)
        home = job.home
        if isinstance(home, Segment):
            self._move_out(home, size, segment)
        else:
            self.live_bytes += size
        job.home = segment
        segment.job_ids.append(job.id)
        segment.homed_jobs += 1
        segment.homed_bytes += size

    def update(self, job: Job, segment: Segment) -> None:
        """A job's new state has been written to a segment."""
        self._add_garbage(STATE_BYTES)
        if job.home is not segment:
            assert isinstance(job.home, Segment), "a state stands on a whole job"
            segment.overrules.add(job.home)

    def leave(self, job: Job, segment: Segment) -> None:
        """That a job is gone has been written to a segment."""
        home = job.home
        assert isinstance(home, Segment), "only what was written can be deleted"
        size = job_bytes(job)
        self.live_bytes -= size
        self._move_out(home, size, segment)
        self._add_garbage(DELETE_BYTES)
        self.made_bytes += size
        job.home = None

    def note(self, size: int) -> None:
        """A record has been written that counts for nobody."""
        self._add_garbage(size)

    def pause(self, facts: PauseFacts, segment: Segment) -> None:
        """The pause of a tube, or its end, has been written to a segment."""
        size = PAUSE_BYTES + len(facts.tube)
        known = self.pauses.pop(facts.tube, None)
        if known is not None:
            home = known.segment
            home.homed_pauses -= 1
            self.has_news = True
            if home is not segment:
                segment.overrules.add(home)
            self.live_bytes -= size
            self.pause_bytes -= size
            self._add_garbage(size)
        if facts.pause_s:
            self.pauses[facts.tube] = PauseHome(facts, segment)
            segment.paused_tubes.append(facts.tube)
            segment.homed_pauses += 1
            self.live_bytes += size
            self.pause_bytes += size
        else:
            self._add_garbage(size)

    def ending_bytes(self, jobs: int) -> int:
        """What the DELETEs of so many jobs and the ends of all pauses will take."""
        return jobs * DELETE_BYTES + self.pause_bytes

    def bury_dead(self, unsure: Sequence[Segment] = ()) -> list[Segment]:
        """Take out the segments in which nothing counts any more; they are not in `segments`.

        What `unsure` ones say may not be on the disk: what they overrule still counts.
        """
        self.has_news = False
        dead = []
        current = max(self.segments)
        kept = _overruled_by(unsure)
        # From the oldest on: when one goes, another that overruled it may be next.
        for segment in list(self.segments.values()):
            if segment.homed_jobs or segment.homed_pauses or segment.number == current:
                continue
            if segment in kept:
                continue
            segment.overrules = {old for old in segment.overrules if old.number in self.segments}
            if not segment.overrules:
                del self.segments[segment.number]
                self.garbage_bytes -= segment.used_bytes - HEAD_BYTES
                dead.append(segment)
        return dead

    def _move_out(self, home: Segment, size: int, segment: Segment) -> None:
        home.homed_jobs -= 1
        home.homed_bytes -= size
        self.garbage_bytes += size
        if not home.homed_jobs:
            self.has_news = True
        if home is not segment:
            segment.overrules.add(home)

    def _add_garbage(self, size: int) -> None:
        self.garbage_bytes += size
        self.made_bytes += size


def _overruled_by(segments: Sequence[Segment]) -> set[Segment]:
    """What these overrule, and what that overrules, to the oldest."""
    found: set[Segment] = set()
    left = list(segments)
    while left:
        overruled = left.pop().overrules - found
        found |= overruled
        left += overruled
    return found
