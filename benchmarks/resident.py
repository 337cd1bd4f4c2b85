"""How much memory a server holds: while it is empty, full, empty again, and as jobs come and go."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import Any

from beanrow.bench.errors import LoadError
from beanrow.bench.load import LoadRun, Plan, Target, Work
from benchmarks.compare import Comparison
from benchmarks.cores import pin
from benchmarks.errors import BenchmarkError
from benchmarks.servers import HOST, Contender, Server, ask_stats, running

#: A server gets this long to give back what it will, before it is looked at.
SETTLE_S = 1.0
CONNECTIONS = 10
WINDOW = 100
KEPT_SAMPLES = 200

#: What is compared of a churn is the first and the last of so many parts.
PARTS = 5


@dataclass(frozen=True)
class Sample:
    """The resident memory of a server at one moment, and how many jobs it held."""

    seconds: float
    jobs: int
    bytes: int


@dataclass(frozen=True)
class Levels:
    """One server: empty, with so many ready jobs, and when they have all been deleted."""

    name: str
    body_bytes: int
    jobs: int
    empty_bytes: int
    full_bytes: int
    emptied_bytes: int
    samples: Sequence[Sample]

    @property
    def bytes_per_job(self) -> float:
        return (self.full_bytes - self.empty_bytes) / self.jobs

    @property
    def emptied_ratio(self) -> float:
        """How much memory it holds afterwards, by that of the empty server."""
        return self.emptied_bytes / self.empty_bytes

    def as_json(self) -> dict[str, Any]:
        """All of it, and what follows from it."""
        return asdict(self) | {
            "bytes_per_job": self.bytes_per_job,
            "emptied_ratio": self.emptied_ratio,
        }


@dataclass(frozen=True)
class Churn:
    """One server: jobs come and go, of which there are always so many."""

    name: str
    body_bytes: int
    depth: int
    cycles: int
    seconds: float
    samples: Sequence[Sample]

    @property
    def first_bytes(self) -> float:
        """Half of the first part of the samples are above this."""
        return median(one.bytes for one in self.samples[: len(self.samples) // PARTS or 1])

    @property
    def last_bytes(self) -> float:
        """Likewise of the last part."""
        return median(one.bytes for one in self.samples[-(len(self.samples) // PARTS or 1) :])

    @property
    def growth(self) -> float:
        """By what part of the first the last is larger."""
        return self.last_bytes / self.first_bytes - 1

    def as_json(self) -> dict[str, Any]:
        """All of it, and what follows from it."""
        return asdict(self) | {
            "first_bytes": self.first_bytes,
            "last_bytes": self.last_bytes,
            "growth": self.growth,
        }


def fill_and_drain(
    comparison: Comparison, contender: Contender, body_bytes: int, jobs: int
) -> Levels:
    """Put so many jobs into a fresh server, then reserve and delete them all."""
    with running(contender, comparison.load.cores.server) as server:
        sleep(SETTLE_S)
        empty_bytes = resident_bytes(server.pid)
        with _watching(server, every_s=0.1) as samples:
            _work(comparison, server, "put", body_bytes, units=jobs)
            sleep(SETTLE_S)
            full_bytes = resident_bytes(server.pid)
            _check_jobs(contender, server, jobs)
            _work(comparison, server, "drain", body_bytes)
            sleep(SETTLE_S)
            emptied_bytes = resident_bytes(server.pid)
            _check_jobs(contender, server, 0)
    return Levels(
        contender.name, body_bytes, jobs, empty_bytes, full_bytes, emptied_bytes, thinned(samples)
    )


def churn(
    comparison: Comparison, contender: Contender, body_bytes: int, depth: int, seconds: float
) -> Churn:
    """Put so many jobs into a fresh server; then put, reserve and delete for so long."""
    with running(contender, comparison.load.cores.server) as server:
        _work(comparison, server, "put", body_bytes, units=depth)
        # Once around, so that every job was put by the churn itself.
        _work(comparison, server, "cycle", body_bytes, units=depth)
        started_s = monotonic()
        with _watching(server, every_s=max(0.1, seconds / 2000)) as samples:
            commands = _work(comparison, server, "cycle", body_bytes, seconds=seconds)
        taken_s = monotonic() - started_s
        _check_jobs(contender, server, depth)
    return Churn(contender.name, body_bytes, depth, commands // 3, taken_s, thinned(samples))


def resident_bytes(pid: int) -> int:
    """Read how much of a process is in memory, counted page by page.

    The number in /proc/PID/status comes from counters that may be some hundred pages behind.
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise BenchmarkError(f"process {pid} has ended: its memory cannot be read")


def thinned(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Keep so many at even distances, the first and the last among them."""
    if len(samples) <= KEPT_SAMPLES:
        return samples
    last = len(samples) - 1
    return [samples[round(n * last / (KEPT_SAMPLES - 1))] for n in range(KEPT_SAMPLES)]


def _work(
    comparison: Comparison,
    server: Server,
    work: Work,
    body_bytes: int,
    *,
    units: int | None = None,
    seconds: float | None = None,
) -> int:
    """Run the load generator; returns how many commands were answered."""
    plan = Plan(
        work, CONNECTIONS, min(WINDOW, units or WINDOW), body_bytes, units=units, seconds=seconds
    )
    target = Target(HOST, server.port)
    try:
        with LoadRun(comparison.load.program, target, plan) as run:
            pin(run.pid, comparison.load.cores.load)
            run.wait_until_ready()
            return run.go().commands
    except LoadError as error:
        raise BenchmarkError(str(error)) from error


def _check_jobs(contender: Contender, server: Server, expected: int) -> None:
    held = _jobs_held(server)
    if held != expected:
        raise BenchmarkError(f"{contender.name} holds {held:,} ready jobs instead of {expected:,}")


def _jobs_held(server: Server) -> int:
    return int(ask_stats(server.port)["current-jobs-ready"])


@contextmanager
def _watching(server: Server, every_s: float) -> Iterator[list[Sample]]:
    """Take samples in a thread as long as the context lasts."""
    samples: list[Sample] = []
    ended = threading.Event()
    started_s = monotonic()

    def watch() -> None:
        while not ended.wait(every_s):
            jobs = _jobs_held(server)
            samples.append(Sample(monotonic() - started_s, jobs, resident_bytes(server.pid)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()
