"""What a command costs when there is more of something: `python -m benchmarks.scaling`.

Jobs, tubes, connections and bytes of a body are raised one by one, everything else stays. Both
servers are started and filled once for each point, and then loaded in turns, A B A B: a cycle of
put, reserve and delete leaves as many jobs as it found, so each turn finds what the first found.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from math import log10
from statistics import median
from typing import Any

from benchmarks.cases import LARGE_BODY_BYTES, Case, select
from benchmarks.command import (
    common_parser,
    comparison_of,
    describe_run,
    ending_well,
    heading,
)
from benchmarks.compare import Comparison
from benchmarks.journals import Journals
from benchmarks.load import Load, Measurement, typical
from benchmarks.machine import describe_machine
from benchmarks.prefill import prefill
from benchmarks.progress import Progress
from benchmarks.servers import Contender, Server, running

#: The usual way to fill a tube; how long it takes is not measured.
FILLING = Case("filling", "put", connections=10, window=100)

#: Many in flight, so that the cost of the queue is not lost in that of the system calls.
PIPELINED = Case("", "cycle", connections=10, window=100)
WAITING = Case("", "cycle", connections=8)

#: The first load of a server is not counted, and lasts for this part of a turn.
WARMUP_PART = 0.5

DESCRIPTION = """\
Measure how the cost of a command grows with jobs, tubes, connections and the size of bodies.

The cases are the points of four curves. For each of them both servers are started and filled once,
and then loaded in turns by put/reserve/delete. Where the baseline takes minutes to be filled,
only the candidate is measured.
"""

EXAMPLES = """\
examples:
  python -m benchmarks.scaling --quick
  python -m benchmarks.scaling --cases 'jobs-*' --long  up to ten million jobs, in gigabytes
"""


@dataclass(frozen=True)
class Point:
    """One point of a curve: `size` of what `axis` names, and the case that is measured there.

    `jobs` are in the tube all the time. Points that are `long` take minutes, or gigabytes.
    """

    axis: str
    size: int
    case: Case
    jobs: int = 0
    is_for_both: bool = True
    is_long: bool = False


def _points() -> Iterator[Point]:
    for exponent in range(3, 8):
        jobs = 10**exponent
        yield _point("jobs", jobs, PIPELINED, jobs=jobs, is_long=jobs > 1_000_000)
    for exponent in range(6):
        # beanstalkd walks through all tubes at every event: filling alone takes minutes.
        tubes = 10**exponent
        case = replace(PIPELINED, tubes=tubes)
        yield _point("tubes", tubes, case, is_for_both=tubes <= 10_000)
    for connections in (1, 10, 100, 1_000, 5_000):
        case = replace(WAITING, connections=connections, shared_core=connections == 1)
        yield _point("connections", connections, case)
    for body_bytes in (10, 100, 1_000, 10_000, 65_535, 1_048_576):
        yield _point("body", body_bytes, replace(WAITING, body_bytes=body_bytes))


def _point(axis: str, size: int, case: Case, **more: Any) -> Point:
    return Point(axis, size, replace(case, name=f"{axis}-{size}"), **more)


POINTS = tuple(_points())


@dataclass(frozen=True)
class PointResult:
    """All turns at one point; those of the baseline are none where it cannot keep up."""

    point: Point
    baseline: Sequence[Measurement]
    candidate: Sequence[Measurement]

    @property
    def cost_us(self) -> float:
        """CPU time of the candidate per command."""
        return typical(self.candidate).server_us_per_command

    @property
    def rate_ratio(self) -> float | None:
        """The candidate's rate by the baseline's, of turns directly after one another."""
        if not self.baseline:
            return None
        both = zip(self.baseline, self.candidate, strict=True)
        return median(one.commands_per_s / other.commands_per_s for other, one in both)


def measure_all(
    comparison: Comparison, points: Sequence[Point], progress: Progress
) -> list[PointResult]:
    """Measure one point after the other. Raises BenchmarkError when a server or the load fails."""
    results = []
    for point in points:
        progress.announce(point.case.name)
        result = measure(comparison, point, progress.announce)
        results.append(result)
        ratio = "" if result.rate_ratio is None else f", ratio of the rates {result.rate_ratio:.2f}"
        progress.finish_step(f"{point.case.name}: {result.cost_us:.2f} µs a command{ratio}")
    return results


def measure(comparison: Comparison, point: Point, say: Callable[[str], None]) -> PointResult:
    """Fill the servers for one point, and load them in turns."""
    load, case = comparison.load, point.case
    sides = (comparison.baseline, comparison.candidate)
    with ExitStack() as stack:
        servers: list[tuple[Server, list[Measurement]]] = []
        for contender in sides if point.is_for_both else sides[1:]:
            say(f"{case.name}: filling {contender.name}")
            server = stack.enter_context(_filled(contender, load, point))
            load.run(server, case, seconds=comparison.seconds * WARMUP_PART)
            servers.append((server, []))
        for number in range(1, comparison.rounds + 1):
            say(f"{case.name}, round {number} of {comparison.rounds}")
            for server, turns in servers:
                turns.append(
                    load.run(server, case, seconds=comparison.seconds, warmup_units=case.in_flight)
                )
    baseline = servers[0][1] if point.is_for_both else []
    return PointResult(point, baseline, servers[-1][1])


@contextmanager
def _filled(contender: Contender, load: Load, point: Point) -> Iterator[Server]:
    """Run a server that has what the point asks for."""
    body_bytes = load.body_bytes_of(point.case)
    options = ("-z", str(body_bytes)) if body_bytes > LARGE_BODY_BYTES else ()
    with running(contender, load.cores.server, options) as server:
        prefill(server, point.case.tubes)
        if point.jobs:
            load.run(server, FILLING, units=point.jobs)
        yield server


# --- what comes out ---------------------------------------------------------------------------


def factor_per_tenfold(first: tuple[int, float], last: tuple[int, float]) -> float:
    """How many times the cost becomes at ten times the size, between two pairs of size and cost."""
    tenfolds = log10(last[0] / first[0])
    return float((last[1] / first[1]) ** (1 / tenfolds))


def table(results: Sequence[PointResult], baseline: str, candidate: str) -> str:
    """One line a point, and after each curve how steep it is."""
    lines = [f"{'point':<20}{baseline + ' µs':>16}{candidate + ' µs':>16}{'rate ratio':>12}"]
    for axis, group in groupby(results, key=lambda result: result.point.axis):
        curve = list(group)
        for one in curve:
            cost = f"{typical(one.baseline).server_us_per_command:.2f}" if one.baseline else ""
            ratio = "" if one.rate_ratio is None else f"{one.rate_ratio:.2f}"
            lines.append(f"{one.point.case.name:<20}{cost:>16}{one.cost_us:>16.2f}{ratio:>12}")
        if len(curve) > 1:
            ends = [(one.point.size, one.cost_us) for one in (curve[0], curve[-1])]
            factor = factor_per_tenfold(*ends)
            lines.append(f"{candidate}, ten times the {axis}: {factor:.2f} times the cost\n")
    return "\n".join([*lines, "µs: CPU time of the server per command, user and system"])


def as_json(results: Sequence[PointResult]) -> list[dict[str, Any]]:
    """Every number of every turn; the baseline's are absent where it was not measured."""
    return [
        {
            **dataclasses.asdict(result.point),
            "rate_ratio": result.rate_ratio,
            "baseline": [_numbers(one) for one in result.baseline],
            "candidate": [_numbers(one) for one in result.candidate],
        }
        for result in results
    ]


def _numbers(measurement: Measurement) -> dict[str, float]:
    return {
        **dataclasses.asdict(measurement),
        "commands_per_s": measurement.commands_per_s,
        "server_us_per_command": measurement.server_us_per_command,
    }


# --- the command ------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when everything was measured, 1 with one line on stderr otherwise."""
    cases = [point.case for point in POINTS]
    parser = common_parser("python -m benchmarks.scaling", DESCRIPTION, EXAMPLES, cases)
    parser.add_argument("--long", action="store_true", help="measure the longest points too")
    return ending_well(_measure, parser.parse_args(arguments))


def choose(patterns: str, *, long: bool) -> list[Point]:
    """The points whose names match, the long ones among them only if they are wanted."""
    wanted = select(patterns, [point.case for point in POINTS])
    return [point for point in POINTS if point.case in wanted and (long or not point.is_long)]


def _measure(options: argparse.Namespace) -> None:
    points = choose(options.cases, long=options.long)
    comparison = comparison_of(options, Journals())
    machine = describe_machine()
    run = describe_run(comparison)
    print(heading(machine, run), flush=True)
    progress = Progress(len(points))
    results = measure_all(comparison, points, progress)
    progress.close()
    print(table(results, comparison.baseline.name, comparison.candidate.name))
    if options.json:
        outcome = {"machine": machine, "run": run, "points": as_json(results)}
        options.json.write_text(json.dumps(outcome, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
