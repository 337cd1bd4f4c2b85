"""The situations in which the servers are compared."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from benchmarks.errors import BenchmarkError

PAUSED_TUBES = 10


@dataclass(frozen=True)
class Case:
    """One situation: what each connection does, how many do it, and what the queue holds.

    `window` commands of each connection are in flight at any time. `tubes` other tubes exist
    meanwhile, each with a job delayed by a day, the first `PAUSED_TUBES` of them paused. `policy`
    is how the servers sync their journal, as they spell it; None: they have no journal.

    `body_bytes` is the size of each body; None: that which the run has for all its cases. Of the
    connections only `active` have work at a time, and all have their turn; None: all have.

    With a `rate`, in commands a second, commands are due at evenly spaced moments, and latency
    counts from these; None: a command is sent when a reply has come. A `peak_part` asks for a rate
    that has to be measured first: this part of the highest that the baseline reaches.

    With a `shared_core` the load runs on the core of the server. Where one command is in flight,
    one of the two sleeps at any time, and to wake another core takes ten times as long as that.
    """

    name: str
    verbs: Literal["put", "cycle"]
    connections: int
    window: int = 1
    tubes: int = 0
    policy: str | None = None
    body_bytes: int | None = None
    active: int | None = None
    rate: float | None = None
    peak_part: float | None = None
    shared_core: bool = False

    @property
    def commands_per_unit(self) -> int:
        """A unit of work is one put, or one put with its reserve and its delete."""
        return 1 if self.verbs == "put" else 3

    @property
    def in_flight(self) -> int:
        """The commands of all connections that can wait for their reply at any time."""
        return min(self.connections, self.active or self.connections) * self.window

    @property
    def is_paced(self) -> bool:
        """Whether commands are due at moments, so that the server does not set the rate."""
        return self.rate is not None or self.peak_part is not None

    @property
    def meaning(self) -> str:
        """The case in words."""
        verbs = "put" if self.verbs == "put" else "put/reserve/delete"
        connections = "1 connection" if self.connections == 1 else f"{self.connections} connections"
        in_flight = "one" if self.window == 1 else str(self.window)
        active = f", {self.active} of them active" if self.active else ""
        beside = f", beside {self.tubes:,} tubes of delayed jobs" if self.tubes else ""
        body = f", bodies of {self.body_bytes:,} bytes" if self.body_bytes is not None else ""
        core = ", load on the server's core" if self.shared_core else ""
        journal = f", journal with {self.policy}" if self.policy else ""
        pace = f", {self.rate:,.0f} commands/s" if self.rate is not None else ""
        if self.peak_part is not None:
            pace = f", at {self.peak_part:.0%} of the baseline's highest rate"
        return (
            f"{verbs} on {connections}{active}, {in_flight} in flight each"
            f"{core}{beside}{body}{journal}{pace}"
        )


#: What every server takes without being asked: 64 KiB less one byte.
LARGE_BODY_BYTES = 65_535

CASES = (
    Case("put-1", "put", connections=1),
    Case("put-1-core", "put", connections=1, shared_core=True),
    Case("put-50", "put", connections=50),
    Case("put-500", "put", connections=500),
    Case("put-5000", "put", connections=5_000, active=50),
    Case("cycle-1", "cycle", connections=1),
    Case("cycle-1-core", "cycle", connections=1, shared_core=True),
    Case("cycle-50", "cycle", connections=50),
    Case("cycle-500", "cycle", connections=500),
    Case("cycle-5000", "cycle", connections=5_000, active=50),
    Case("put-pipelined", "put", connections=10, window=100),
    Case("cycle-pipelined", "cycle", connections=10, window=100),
    Case("put-64k", "put", connections=8, body_bytes=LARGE_BODY_BYTES),
    Case("cycle-64k", "cycle", connections=8, body_bytes=LARGE_BODY_BYTES),
    Case("cycle-1k-tubes", "cycle", connections=50, tubes=1_000),
    Case("cycle-10k-tubes", "cycle", connections=50, tubes=10_000),
    Case("latency-half", "cycle", connections=50, peak_part=0.5),
)


#: How often a journal is synced: before every reply, every 50 ms, never.
POLICIES = {"f0": "-f 0", "f50": "-f 50", "F": "-F"}


def _durability_cases() -> tuple[Case, ...]:
    shapes = {"50": (50, 1), "1": (1, 1), "500": (500, 1), "pipelined": (10, 100)}
    cases: list[Case] = []
    verbs: Literal["put", "cycle"]
    for verbs in ("put", "cycle"):
        cases.append(Case(f"{verbs}-50-memory", verbs, connections=50))
        for shape, (connections, window) in shapes.items():
            for name, policy in POLICIES.items():
                case = Case(f"{verbs}-{shape}-{name}", verbs, connections, window, policy=policy)
                cases.append(replace(case, shared_core=case.in_flight == 1))
    return tuple(cases)


DURABILITY_CASES = _durability_cases()


def select(patterns: str, among: Sequence[Case] = CASES) -> tuple[Case, ...]:
    """Find the cases a comma-separated list of shell patterns names, in their usual order.

    Raises BenchmarkError for a pattern that no case matches.
    """
    wanted = [pattern.strip() for pattern in patterns.split(",")]
    for pattern in wanted:
        if not any(fnmatchcase(case.name, pattern) for case in among):
            names = ", ".join(case.name for case in among)
            raise BenchmarkError(f"no case is called {pattern!r}; there are {names}")
    return tuple(
        case for case in among if any(fnmatchcase(case.name, pattern) for pattern in wanted)
    )
