"""Which processor core is whose: the server gets one for itself, the load another."""

import os
from dataclasses import dataclass

from benchmarks.errors import BenchmarkError


@dataclass(frozen=True)
class Cores:
    """The cores to pin to; None where there are too few, or no way, to keep them apart."""

    server: int | None
    load: int | None

    def __str__(self) -> str:
        if self.server is None:
            return "server and load share a core: too few of them to keep the two apart"
        return (
            f"server pinned to core {self.server}, load to core {self.load} "
            f"(to {self.server} too in cases that share a core)"
        )


def choose_cores() -> Cores:
    """Take the last core we may use for the server, and the one before it for the load.

    The first one is avoided where there is a choice: it tends to serve the interrupts.
    Raises BenchmarkError where this is not Linux.
    """
    if not hasattr(os, "sched_getaffinity"):
        raise BenchmarkError("the benchmarks need Linux: epoll, /proc and CPU affinity")
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        return Cores(server=None, load=None)
    return Cores(server=usable[-1], load=usable[-2])


def pin(pid: int, core: int | None) -> None:
    """Let a process run on this core only; on any core when it is None."""
    if core is not None:
        os.sched_setaffinity(pid, {core})
