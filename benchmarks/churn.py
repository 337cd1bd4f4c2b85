"""Whether a journal stays small while jobs come and go beside one that stays for ever.

One job is buried; then come puts and deletes, as many as one likes. Next to nothing is live at any
time, so a journal that removes what it does not need any more stays small. The bound is what
beanrow promises: twice the live bytes and two segments.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.cases import Case
from benchmarks.compare import Comparison
from benchmarks.errors import BenchmarkError
from benchmarks.journals import SEGMENT_BYTES
from benchmarks.servers import Contender, Server, ask_stats, running

CHURN = Case("churn", "cycle", connections=10, window=100, policy="-F")
SAMPLE_EVERY_S = 0.05
KEPT_SAMPLES = 100

#: More than a record adds to its body, in either server.
_RECORD_BYTES = 200


@dataclass(frozen=True)
class Sample:
    """The size of all files of a journal at one moment, after so many deletes."""

    seconds: float
    deletes: int
    bytes: int


@dataclass
class ChurnResult:
    """What became of the journal of one server."""

    name: str
    cycles: int
    bound_bytes: int
    seconds: float = 0.0
    worst: Sample = field(default_factory=lambda: Sample(0.0, 0, 0))
    samples: list[Sample] = field(default_factory=list)
    _unkept: list[Sample] = field(default_factory=list)
    _samples_per_kept: int = 1

    @property
    def is_within_bound(self) -> bool:
        return self.worst.bytes < self.bound_bytes

    def add(self, sample: Sample) -> None:
        """Keep a sample; when they become too many, the largest one of each two, four, ..."""
        if sample.bytes > self.worst.bytes:
            self.worst = sample
        self._unkept.append(sample)
        if len(self._unkept) < self._samples_per_kept:
            return
        self.samples.append(max(self._unkept, key=_size))
        self._unkept.clear()
        if len(self.samples) == 2 * KEPT_SAMPLES:
            pairs = zip(self.samples[::2], self.samples[1::2], strict=True)
            self.samples = [max(pair, key=_size) for pair in pairs]
            self._samples_per_kept *= 2

    def as_json(self) -> dict[str, Any]:
        """Everything there is to keep of it."""
        return {
            "name": self.name,
            "cycles": self.cycles,
            "bound_bytes": self.bound_bytes,
            "is_within_bound": self.is_within_bound,
            "seconds": self.seconds,
            "worst": asdict(self.worst),
            "samples": [asdict(sample) for sample in self.samples],
        }


def _size(sample: Sample) -> int:
    return sample.bytes


def churn(
    comparison: Comparison, contender: Contender, cycles: int, say: Callable[[str], None]
) -> ChurnResult:
    """Run so many put/reserve/delete cycles beside a buried job, and watch the journal's size."""
    live_bytes = (1 + CHURN.in_flight) * (comparison.load.body_bytes + _RECORD_BYTES)
    result = ChurnResult(contender.name, cycles, 2 * live_bytes + 2 * SEGMENT_BYTES)
    with comparison.journals.folder() as folder:
        options = ("-b", str(folder), *str(CHURN.policy).split(), "-s", str(SEGMENT_BYTES))
        with running(contender, comparison.load.cores.server, options) as server:
            _bury_one(server)
            started_s = monotonic()
            with _watching(result, server, folder, say):
                comparison.load.run(server, CHURN, units=cycles)
            result.seconds = monotonic() - started_s
    return result


def _bury_one(server: Server) -> None:
    """The job that stays for ever is in a tube of its own."""
    with server.connect() as connection, connection.makefile("rb") as replies:
        connection.sendall(
            b"use old\r\nwatch old\r\nignore default\r\nput 0 0 60 3\r\nold\r\nreserve\r\n"
            b"bury 1 0\r\n"
        )
        lines = [replies.readline() for _ in range(7)]
        if lines[-1] != b"BURIED\r\n":
            raise BenchmarkError(f"a fresh server answers {lines[-1]!r} to bury")


@contextmanager
def _watching(
    result: ChurnResult, server: Server, folder: Path, say: Callable[[str], None]
) -> Iterator[None]:
    """Take samples in a thread as long as the context lasts."""
    ended = threading.Event()
    started_s = monotonic()

    def watch() -> None:
        said_s = started_s
        while not ended.wait(SAMPLE_EVERY_S):
            deletes = int(ask_stats(server.port)["cmd-delete"])
            now_s = monotonic()
            result.add(Sample(now_s - started_s, deletes, _bytes_in(folder)))
            if now_s - said_s > 5:
                said_s = now_s
                share = deletes / result.cycles
                say(f"{result.name}: {share:.0%}, at most {result.worst.bytes:,} bytes so far")

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _bytes_in(folder: Path) -> int:
    """Files may vanish while we look."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total
