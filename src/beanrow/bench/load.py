"""One run of the load generator: what it is asked for, the handshake, and what it has measured."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from beanrow.bench.errors import LoadError

Work = Literal["put", "cycle", "drain"]
Protocol = Literal["beanstalk", "redis"]

#: The generator was late if its own delays make up this part of the latencies, both at p99.
LATE_PART: Final = 1 / 3


@dataclass(frozen=True)
class Target:
    """Where the server is: a host and its port, or the path of a socket and no port."""

    host: str
    port: int | None
    protocol: Protocol = "beanstalk"

    def arguments(self) -> list[str]:
        """The options of the program that say so."""
        if self.port is None:
            return ["--unix", self.host, "--protocol", self.protocol]
        return ["--host", self.host, "--port", str(self.port), "--protocol", self.protocol]


@dataclass(frozen=True)
class Plan:
    """What to do.

    Each of `connections` has `window` units of work under way: a put; or a put, a reserve, a delete
    ("cycle"); or, until the tube is empty, a reserve and a delete ("drain"). Only `active` of them
    have work at a time, if that is given, and all have their turn. It ends with `units` of work or
    `seconds`, whichever comes first.

    With a `rate`, in commands a second of all connections together, commands are due at evenly
    spaced moments, and latencies count from these; without one, each is sent as soon as it can be.
    """

    work: Work
    connections: int = 1
    window: int = 1
    body_bytes: int = 100
    units: int | None = None
    seconds: float | None = None
    rate: float | None = None
    active: int | None = None
    tube: str = "default"
    warmup_units: int = 0
    shows_progress: bool = False

    def arguments(self) -> list[str]:
        """The options of the program that say so."""
        named = {
            "work": self.work,
            "connections": self.connections,
            "window": self.window,
            "body": self.body_bytes,
            "units": self.units,
            "seconds": self.seconds,
            "rate": self.rate,
            "active": self.active,
            "tube": self.tube,
            "warmup": self.warmup_units,
        }
        words = [f"--{name}={value}" for name, value in named.items() if value is not None]
        return [*words, "--progress"] if self.shows_progress else words


@dataclass(frozen=True)
class Outcome:
    """What was measured. Latencies are in microseconds.

    With a rate, `commands` are those that were due in time, and `seconds` last until the end of the
    time or the last of their replies, whichever is later. What has begun is then brought to its
    end, and counts only in `cpu_seconds`.

    `missed` commands were due in time and never sent, since the server had not answered those
    before them. `late_p99_us` is how late the generator itself was in noticing what was due.
    """

    commands: int
    seconds: float
    cpu_seconds: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float
    missed: int
    late_p99_us: float

    @property
    def commands_per_s(self) -> float:
        return self.commands / self.seconds

    @property
    def generator_was_late(self) -> bool:
        return self.is_late(self.late_p99_us, self.p99_us)

    @staticmethod
    def is_late(late_p99_us: float, p99_us: float) -> bool:
        """Whether latencies like these are the generator's own, to a good part."""
        return late_p99_us > LATE_PART * p99_us


class LoadRun:
    """The process of a run. `with` ends it, however that comes; its connections close then.

    It is not in the process group of whoever starts it, so Ctrl-C does not reach it. Every method
    raises LoadError when the generator has failed: no connection, a wrong reply, a silent server.
    """

    def __init__(self, program: Path, target: Target, plan: Plan) -> None:
        try:
            self._process = subprocess.Popen(
                [str(program), *target.arguments(), *plan.arguments()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                process_group=0,
            )
        except OSError as error:
            raise LoadError(f"cannot run {program}: {error.strerror}") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()  # the end of its input is what it ends at

    def wait_until_ready(self) -> None:
        """Wait until all connections are open, and the warm-up is over."""
        self._line("ready")

    def go(self, show: Callable[[int], None] | None = None) -> Outcome:
        """Let it work, until all is done; `show` hears how many commands have been answered."""
        assert self._process.stdin
        try:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None
        while (line := self._line("{", "progress ")).startswith("progress "):
            if show is not None:
                show(int(line.split()[1]))
        return Outcome(**json.loads(line))

    def _line(self, *beginnings: str) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line.startswith(beginnings):
            raise self._failure()
        return line

    def _failure(self) -> LoadError:
        assert self._process.stderr
        said = self._process.stderr.read().strip()
        return LoadError(said or f"the load generator ended with status {self._process.wait()}")
