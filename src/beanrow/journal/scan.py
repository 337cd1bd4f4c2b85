"""Reads the records of a segment, and finds its way past what is damaged.

A record that is not sound is passed over, and the next sound one is looked for byte by byte. Since
no body can look like a record, what is found is one.
"""

from __future__ import annotations

from typing import Final

from beanrow.journal.record import (
    DELETE,
    HEADER_BYTES,
    JOB,
    id_at,
    length_at,
    sound_size,
    type_at,
)
from beanrow.journal.segment import HEAD_BYTES

_END_MISSING: Final = "its end is missing"


class Damage:
    """Part of a segment, or all of it, that could not be read."""

    __slots__ = ("ids", "is_torn_tail", "name", "offset", "reason", "records", "size")

    def __init__(self, name: str, offset: int, size: int, reason: str) -> None:
        #: The file.
        self.name = name
        #: Where in it, and how many bytes.
        self.offset = offset
        self.size = size
        self.reason = reason
        #: How many records are lost; more than one may have been in bytes that make no sense, and
        #: then this is None.
        self.records: int | None = None
        #: The id of the job that it was about, when it is one record and not of a pause.
        self.ids: list[int] = []
        #: Whether nothing sound follows in the segment.
        self.is_torn_tail = False

    def __str__(self) -> str:
        lost = "some records" if self.records is None else f"{self.records} record"
        ids = f", of job {', '.join(map(str, self.ids))}" if self.ids else ""
        return (
            f"{self.name}: {self.size} bytes from offset {self.offset} on are lost "
            f"({self.reason}): {lost}{ids}"
        )


class Scan:
    """Goes through the records of one segment: `next` until it says False.

    ``offset`` and ``size`` are those of the present record; at the end ``offset`` is where the
    next record would stand.
    """

    __slots__ = ("_data", "_name", "_seed", "damages", "offset", "size")

    def __init__(self, data: bytes, seed: int, name: str) -> None:
        self._data = data
        self._seed = seed
        self._name = name
        self.offset = HEAD_BYTES
        self.size = 0
        self.damages: list[Damage] = []

    def next(self) -> bool:
        """Go to the next sound record. False: there is none."""
        data = self._data
        offset = self.offset + self.size
        self.offset = offset
        self.size = sound_size(data, offset, self._seed)
        if self.size:
            return True
        if _is_empty(data, offset):
            return False
        return self._pass_damage(offset, length_at(data, offset))

    def _pass_damage(self, start: int, claimed_size: int) -> bool:
        data = self._data
        # Its length may be what is wrong: no sound record within it may be passed over.
        end = self._find(start + 1)
        claimed_end = start + claimed_size
        is_last = _is_empty(data, end) and end <= claimed_end <= len(data)
        if claimed_end == end or is_last:
            end = claimed_end
            damage = self._note(start, end, "its checksum does not fit")
            damage.records = 1
        else:
            damage = self._note(start, end, "no record can be made out")
        # What only may have been a record says nothing about any job.
        is_one = damage.records == 1
        if is_one and JOB <= type_at(data, start) <= DELETE and start + HEADER_BYTES + 8 <= end:
            damage.ids.append(id_at(data, start))
        if _is_empty(data, end):
            damage.is_torn_tail = True
            self.offset = end
            return False
        self.offset = end
        self.size = length_at(data, end)
        return True

    def end_at(self, end: int) -> None:
        """After the last record: where the segment ended when it was left, as the next one says."""
        if end <= self.offset:
            return
        last = self.damages[-1] if self.damages else None
        if last is not None and last.is_torn_tail and last.records is None:
            last.size = end - last.offset
            last.reason = _END_MISSING
        else:
            self._note(self.offset, end, _END_MISSING)

    def _note(self, start: int, end: int, reason: str) -> Damage:
        damage = Damage(self._name, start, end - start, reason)
        self.damages.append(damage)
        return damage

    def _is_record(self, offset: int) -> bool:
        return sound_size(self._data, offset, self._seed) > 0

    def _find(self, start: int) -> int:
        """Where the next record begins; without one, where the bytes that are not 0 end."""
        end = len(self._data.rstrip(b"\0"))
        for offset in range(start, min(end, len(self._data) - HEADER_BYTES)):
            if JOB <= type_at(self._data, offset) <= DELETE + 1 and self._is_record(offset):
                return offset
        return end


def _is_empty(data: bytes, offset: int) -> bool:
    """Whether a segment has nothing from here on but room."""
    return data.count(0, offset) >= len(data) - offset
