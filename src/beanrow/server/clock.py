"""The time of day as it was at the start, and as the steady clock has gone on since.

The time of day can be set back and forth under a running server, and no delay or ttr may end
early or late for it.
"""

import time
from typing import Final

_monotonic_ns: Final = time.monotonic_ns  # called so often that even to look it up counts

_STARTED_AT_NS: Final = time.time_ns() - _monotonic_ns()


def now_ns() -> int:
    """Nanoseconds since 1970; never less than at an earlier call."""
    return _STARTED_AT_NS + _monotonic_ns()
