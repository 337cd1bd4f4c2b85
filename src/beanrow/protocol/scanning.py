"""What is read byte by byte, where that is the fastest way: in compiled code.

Python's own methods on bytes are written for texts of any length. To call one takes longer than a
loop of C over the few bytes of a command: `bytes.find` a tenth, `int` nearly as much, of all that
the compiled server does for a command outside the system. Interpreted, it is the other way round.
"""

from __future__ import annotations

from typing import Final

from beanrow.build import COMPILED
from beanrow.native import i64
from beanrow.protocol.limits import CRLF, MAX_LINE_BYTES

_CR: Final = 13
_LF: Final = 10
_ZERO: Final = 48
_NINE: Final = 57

#: So many digits cannot be too much for 63 bits.
_SAFE_DIGITS: Final = 18


def find_crlf(buffer: bytes, start: int) -> int:
    """The place of the first CRLF from `start` on; -1 without any."""
    if COMPILED:
        place: i64 = start
        last: i64 = min(len(buffer) - 1, start + MAX_LINE_BYTES)
        while place < last:
            if buffer[place] == _CR and buffer[place + 1] == _LF:
                return place
            place += 1
    return buffer.find(CRLF, start)


def is_crlf(buffer: bytes, place: int) -> bool:
    """Whether a CRLF is at a place, behind which the buffer has two bytes at least."""
    return buffer[place] == _CR and buffer[place + 1] == _LF


def read_decimal(text: bytes) -> int:
    """The number that a text of digits stands for; -1 when it is none."""
    size: i64 = len(text)
    if COMPILED and 0 < size <= _SAFE_DIGITS:
        number: i64 = 0
        place: i64 = 0
        while place < size:
            digit: i64 = text[place]
            if digit < _ZERO or digit > _NINE:
                return -1
            number = number * 10 + (digit - _ZERO)
            place += 1
        return number
    return int(text) if text.isdigit() else -1
