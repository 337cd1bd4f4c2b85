"""One measured run of the load generator, which is a part of beanrow."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from beanrow.bench import program
from beanrow.bench.errors import LoadError
from beanrow.bench.load import LoadRun, Outcome, Plan, Target
from benchmarks.cases import Case
from benchmarks.cores import Cores, pin
from benchmarks.errors import BenchmarkError
from benchmarks.servers import CHECKOUT, HOST, Server

#: That of this checkout, whichever build of beanrow is measured with it.
SOURCE = CHECKOUT / "src" / "beanrow" / "bench" / "source"
#: What is made for the length of a run: journals.
BUILD_FOLDER = Path(__file__).with_name(".build")


@dataclass(frozen=True)
class Measurement:
    """What one run of the load told, and what the server's CPU clock said meanwhile.

    Latencies count from the moment when a command was sent, or was due if the case has a rate.
    `missed` and `late_p99_us` are those of `beanrow.bench.load.Outcome`: how much the server, and
    how much the load generator, was behind such a rate.
    """

    commands: int
    seconds: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float
    missed: int
    late_p99_us: float
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

    @property
    def load_was_late(self) -> bool:
        """Whether the latencies are the load generator's own, to a good part."""
        return Outcome.is_late(self.late_p99_us, self.p99_us)


def typical(measurements: Sequence[Measurement]) -> Measurement:
    """Take the median of each value over several measurements of the same work."""
    return Measurement(
        commands=measurements[0].commands,
        seconds=median(one.seconds for one in measurements),
        p50_us=median(one.p50_us for one in measurements),
        p90_us=median(one.p90_us for one in measurements),
        p99_us=median(one.p99_us for one in measurements),
        p999_us=median(one.p999_us for one in measurements),
        max_us=median(one.max_us for one in measurements),
        missed=round(median(one.missed for one in measurements)),
        late_p99_us=median(one.late_p99_us for one in measurements),
        load_cpu_s=median(one.load_cpu_s for one in measurements),
        server_cpu_s=median(one.server_cpu_s for one in measurements),
    )


def build_load() -> Path:
    """Make the load generator, or find it made; raises BenchmarkError when that is impossible."""
    try:
        return program.build_load(source=SOURCE)
    except LoadError as error:
        raise BenchmarkError(str(error)) from error


@dataclass(frozen=True)
class Load:
    """The compiled generator, the cores, and the size of bodies where a case does not say."""

    program: Path
    cores: Cores
    body_bytes: int = 100

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
        plan = Plan(
            work=case.verbs,
            connections=case.connections,
            window=case.window,
            body_bytes=self.body_bytes_of(case),
            units=units,
            seconds=seconds,
            rate=case.rate,
            active=case.active,
            warmup_units=warmup_units,
        )
        try:
            with LoadRun(self.program, Target(HOST, server.port, server.protocol), plan) as run:
                pin(run.pid, self._core_for(case))
                run.wait_until_ready()
                cpu_before_s = server.cpu_s()
                outcome = run.go()
                cpu_after_s = server.cpu_s()
        except LoadError as error:
            raise BenchmarkError(str(error)) from error
        return Measurement(
            commands=outcome.commands,
            seconds=outcome.seconds,
            p50_us=outcome.p50_us,
            p90_us=outcome.p90_us,
            p99_us=outcome.p99_us,
            p999_us=outcome.p999_us,
            max_us=outcome.max_us,
            missed=outcome.missed,
            late_p99_us=outcome.late_p99_us,
            load_cpu_s=outcome.cpu_seconds,
            server_cpu_s=cpu_after_s - cpu_before_s,
        )

    def body_bytes_of(self, case: Case) -> int:
        """The size of each body in this case."""
        return self.body_bytes if case.body_bytes is None else case.body_bytes

    def _core_for(self, case: Case) -> int | None:
        return self.cores.server if case.shared_core else self.cores.load
