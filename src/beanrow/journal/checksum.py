"""CRC-32C, the checksum of every record.

The package google-crc32c computes it at the speed of memory. Where it is missing, a table in
Python does the same, some hundred times slower: right, and good enough to try things out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

# The polynomial of Castagnoli, its bits reversed (RFC 3720, section 12.1).
_POLYNOMIAL: Final = 0x82F63B78


def _table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE: Final = _table()


def extend_in_python(crc: int, data: bytes) -> int:
    """The checksum of what has the checksum `crc` with `data` behind it; of nothing it is 0."""
    crc ^= 0xFFFFFFFF
    table = _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


#: Whether the package is there, with its compiled part; without that it is as slow as we are.
IS_FAST: bool
try:
    import google_crc32c
except ImportError:
    IS_FAST = False
    extend: Callable[[int, bytes], int] = extend_in_python
else:
    IS_FAST = google_crc32c.implementation == "c"
    extend = google_crc32c.extend
