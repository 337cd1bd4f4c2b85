"""One measured run of the load generator, which is a part of beanrow."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from beanrow.bench import program
from beanrow.bench.errors import LoadError
from benchmarks.cases import Case
from benchmarks.cores import Cores, pin
from benchmarks.errors import BenchmarkError
from benchmarks.servers import Server

#: What is made for the length of a run: journals.
BUILD_FOLDER = Path(__file__).with_name(".build")


@dataclass(frozen=True)
class Measurement:
    """What one run of the load told, and what the server's CPU clock said meanwhile."""

    commands: int
    seconds: float
    p50_us: float
    p99_us: float
    load_cpu_s: float
    server_cpu_s: float

    @property
    def commands_per_s(self) -> float:
        return self.commands / self.seconds

    @property
    def server_us_per_command(self) -> float:
        return self.server_cpu_s / self.commands * 1e6

    @property
    def server_busy(self) -> float:
        """The part of a core the server used, from 0 to 1."""
        return self.server_cpu_s / self.seconds

    @property
    def load_busy(self) -> float:
        """The part of a core the load generator used, from 0 to 1."""
        return self.load_cpu_s / self.seconds


def typical(measurements: Sequence[Measurement]) -> Measurement:
    """Take the median of each value over several measurements of the same work."""
    return Measurement(
        commands=measurements[0].commands,
        seconds=median(one.seconds for one in measurements),
        p50_us=median(one.p50_us for one in measurements),
        p99_us=median(one.p99_us for one in measurements),
        load_cpu_s=median(one.load_cpu_s for one in measurements),
        server_cpu_s=median(one.server_cpu_s for one in measurements),
    )


def build_load() -> Path:
    """Make the load generator, or find it made; raises BenchmarkError when that is impossible."""
    try:
        return program.build_load()
    except LoadError as error:
        raise BenchmarkError(str(error)) from error


@dataclass(frozen=True)
class Load:
    """The compiled generator, the cores, and what every run has in common."""

    program: Path
    cores: Cores
    body_bytes: int

    def run(
        self,
        server: Server,
        case: Case,
        *,
        units: int | None = None,
        seconds: float | None = None,
        warmup_units: int = 0,
    ) -> Measurement:
        """Put one case's load on a server, until `units` of work or `seconds` are over.

        Connecting, warming up and hanging up are not part of the measurement.
        Raises BenchmarkError when the server gives a wrong reply or falls silent.
        """
        arguments = [
            *("--port", server.port, "--case", case.verbs, "--connections", case.connections),
            *("--window", case.window, "--body", self.body_bytes, "--warmup", warmup_units),
            *(("--units", units) if units is not None else ()),
            *(("--seconds", seconds) if seconds is not None else ()),
        ]
        # One command in flight keeps one of the two asleep at any time, and waking another core
        # takes longer than the command itself; on a common core the servers' own part shows.
        core = self.cores.load if case.in_flight > 1 else self.cores.server
        with self._process([str(argument) for argument in arguments], core) as process:
            assert process.stdin
            self._line(process, "ready")
            cpu_before_s = server.cpu_s()
            process.stdin.write("go\n")
            process.stdin.flush()
            result = json.loads(self._line(process, "{"))
            cpu_after_s = server.cpu_s()
        return Measurement(
            commands=result["commands"],
            seconds=result["seconds"],
            p50_us=result["p50_us"],
            p99_us=result["p99_us"],
            load_cpu_s=result["cpu_seconds"],
            server_cpu_s=cpu_after_s - cpu_before_s,
        )

    @contextmanager
    def _process(self, arguments: list[str], core: int | None) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [str(self.program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                pin(process.pid, core)
                yield process
            except BaseException:
                process.kill()
                raise

    @staticmethod
    def _line(process: subprocess.Popen[str], beginning: str) -> str:
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline()
        if not line.startswith(beginning):
            raise BenchmarkError(process.stderr.read().strip() or "the load generator just ended")
        return line
