"""A bar that shows how far something is, to a person at a terminal and to nobody else."""

import sys
import time
from typing import Final

from beanrow.cli.common import is_terminal

WIDTH: Final = 30
INTERVAL_S: Final = 0.1
#: What is quicker than this needs no bar.
SILENCE_S: Final = 0.3

_MB: Final = 1e6
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """Writes to standard error; `with` takes the bar away at the end, however that comes."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._is_shown = is_terminal(sys.stderr)
        self._next_s = time.monotonic() + SILENCE_S
        self._has_drawn = False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_drawn:
            self._write(_CLEAR)

    def show(self, done_bytes: int, total_bytes: int) -> None:
        """Draw it again, if it is time to."""
        now_s = time.monotonic()
        if not self._is_shown or now_s < self._next_s:
            return
        self._next_s = now_s + INTERVAL_S
        self._has_drawn = True
        share = min(1.0, done_bytes / max(1, total_bytes))
        bar = ("#" * round(share * WIDTH)).ljust(WIDTH, ".")
        size = f"{done_bytes / _MB:.0f} of {total_bytes / _MB:.0f} MB"
        self._write(f"{_CLEAR}{self._what} [{bar}] {share:4.0%}  {size}")

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:  # the terminal is gone; what is shown there matters no more
            self._is_shown = False
            self._has_drawn = False
