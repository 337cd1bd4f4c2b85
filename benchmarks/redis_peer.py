"""Redis as a work queue, for scale: which cases, and whether it is there.

LPUSH puts, LMOVE takes from the other end and keeps the job in a second list, LREM deletes it.
"""

from pathlib import Path

from benchmarks.cases import select
from benchmarks.servers import CHECKOUT, REDIS_FOLDER

CASES = select("put-50,cycle-50,put-pipelined,cycle-pipelined")


def why_missing(
    reason: Path = CHECKOUT / ".peers" / "missing" / "redis", folder: Path = REDIS_FOLDER
) -> str | None:
    """Say in a line why there is no Redis; None: there is one."""
    if reason.exists():
        return reason.read_text().strip()
    if not (folder / "bin" / "redis-server").exists():
        return "`make peers` has not been run"
    return None
