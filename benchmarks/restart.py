"""How soon a server with many jobs in its journal answers again."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic

from benchmarks.cases import Case
from benchmarks.compare import Comparison
from benchmarks.errors import BenchmarkError
from benchmarks.servers import Contender, Server, ask_stats, running

#: Pipelined, and never synced: the way to fill a journal is not what is measured.
FILLING = Case("filling", "put", connections=10, window=100, policy="-F")
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Restart:
    """One start of a server on a journal, until it has answered its first command."""

    seconds: float
    cpu_s: float


@dataclass(frozen=True)
class RestartResult:
    """The starts of both servers, each on its own journal with the same jobs."""

    jobs: int
    journal_bytes: tuple[int, int]
    rounds: Sequence[tuple[Restart, Restart]]

    def seconds(self, side: int) -> float:
        """The typical start of the baseline (0) or of the candidate (1)."""
        return median(one[side].seconds for one in self.rounds)

    def cpu_s(self, side: int) -> float:
        return median(one[side].cpu_s for one in self.rounds)

    @property
    def ratios(self) -> list[float]:
        """The candidate's time divided by the baseline's, of each round."""
        return sorted(candidate.seconds / baseline.seconds for baseline, candidate in self.rounds)


def compare_restarts(
    comparison: Comparison, jobs: int, say: Callable[[str], None]
) -> RestartResult:
    """Fill a journal for each server, then start both on it in turns.

    The files are in the memory of the system by then, so this is about the servers, not the disk.
    Raises BenchmarkError when a server does not have all jobs again.
    """
    sides = (comparison.baseline, comparison.candidate)
    with ExitStack() as stack:
        folders = [stack.enter_context(comparison.journals.folder()) for _ in sides]
        for contender, folder in zip(sides, folders, strict=True):
            _fill(comparison, contender, folder, jobs)
            say(f"{contender.name}: a journal of {jobs:,} jobs, {_bytes_in(folder):,} bytes")
        sizes = _bytes_in(folders[0]), _bytes_in(folders[1])
        rounds = []
        for number in range(1, comparison.rounds + 1):
            baseline, candidate = (
                _restart(comparison, contender, folder, jobs)
                for contender, folder in zip(sides, folders, strict=True)
            )
            rounds.append((baseline, candidate))
            say(
                f"restart, round {number} of {comparison.rounds}: {baseline.seconds:.2f} s and "
                f"{candidate.seconds:.2f} s"
            )
    return RestartResult(jobs, sizes, rounds)


def _options(folder: Path) -> tuple[str, ...]:
    return ("-b", str(folder), "-F")


def _fill(comparison: Comparison, contender: Contender, folder: Path, jobs: int) -> None:
    with running(contender, comparison.load.cores.server, _options(folder)) as server:
        comparison.load.run(server, FILLING, units=jobs)
        _expect(contender, server, jobs)


def _restart(comparison: Comparison, contender: Contender, folder: Path, jobs: int) -> Restart:
    started_s = monotonic()
    with running(
        contender, comparison.load.cores.server, _options(folder), start_timeout_s=TIMEOUT_S
    ) as server:
        restart = Restart(monotonic() - started_s, server.cpu_s())
        _expect(contender, server, jobs)
    return restart


def _expect(contender: Contender, server: Server, jobs: int) -> None:
    ready = ask_stats(server.port)["current-jobs-ready"]
    if ready != str(jobs):
        raise BenchmarkError(f"{contender.name} has {ready} jobs instead of {jobs}")


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
