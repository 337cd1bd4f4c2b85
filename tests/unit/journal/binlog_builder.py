"""Writes files as beanstalkd does, record by record.

`tests/differential/test_binlog.py` holds both versions against the real server: it writes version
7 itself, and still reads version 5.
"""

from pathlib import Path
from struct import Struct
from typing import Final

INVALID, READY, RESERVED, BURIED, DELAYED = range(5)

#: Some moment in 2025, in nanoseconds.
CREATED_NS: Final = 1_750_000_000_000_000_000

_FIELDS: Final = Struct("<QIIqqiIqqIIIIIB")


class BinlogBuilder:
    """One file; `data` is what was written so far."""

    def __init__(self, version: int = 7) -> None:
        self.version = version
        self.data = version.to_bytes(4, "little")

    def record(
        self,
        job_id: int,
        body: bytes = b"hello",
        *,
        tube: bytes = b"",
        state: int = READY,
        pri: int = 0,
        delay_s: int = 0,
        ttr_s: int = 60,
        created_ns: int = CREATED_NS,
        deadline_ns: int = 0,
        counters: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0),
    ) -> "BinlogBuilder":
        """A record of a whole job if it has a tube, or else of a change."""
        unit_ns = 1000 if self.version == 5 else 1
        second = 1_000_000_000 // unit_ns
        fields = _FIELDS.pack(
            job_id,
            pri,
            0xDEAD,  # nobody knows what stands in the bytes that fill up
            delay_s * second,
            ttr_s * second,
            len(body) + 2,
            0xBEEF,
            created_ns // unit_ns,
            deadline_ns // unit_ns,
            *counters,
            state,
        )
        if self.version != 5:
            fields += b"\xaa\xbb\xcc"
        self.data += len(tube).to_bytes(8 if self.version == 5 else 4, "little") + tube + fields
        if tube:
            self.data += body + b"\r\n"
        return self

    def write(self, folder: Path, number: int, zeros: int = 100) -> None:
        """Write the file, with some of the room that beanstalkd takes ahead."""
        (folder / f"binlog.{number}").write_bytes(self.data + bytes(zeros))
