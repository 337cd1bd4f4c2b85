"""The command `python -m benchmarks.memory`: what jobs cost there, and what comes back of it."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.command import describe_run, ending_well, positive_int
from benchmarks.compare import Comparison
from benchmarks.cores import choose_cores
from benchmarks.journals import Journals
from benchmarks.load import Load, build_load
from benchmarks.machine import describe_machine
from benchmarks.pauses import BUILDS, MODES, Pauses, measure
from benchmarks.progress import Progress
from benchmarks.resident import Churn, Levels, churn, fill_and_drain
from benchmarks.servers import BEANROW_COMMAND, BEANSTALKD_COMMAND, Contender

DESCRIPTION = """\
Measure the memory of beanrow and beanstalkd, each started fresh.

Jobs are put until there are so many of them, then they are all reserved and deleted: what a ready
job costs, and how much memory the server holds afterwards. Then jobs come and go, while there are
always a tenth of that: whether memory grows. Last, an engine of beanrow alone is filled, with
Python's cycle collector on and off: how long it stops everything.
"""

EXAMPLES = """\
examples:
  python -m benchmarks.memory --quick
  python -m benchmarks.memory --churn-minutes 60     whether memory grows within an hour
"""

#: Smaller bodies are kept by Python's own allocator, larger ones by that of the system.
BODY_BYTES = (100, 1024)


@dataclass(frozen=True)
class Effort:
    """How many jobs of the smallest body, and how long they come and go."""

    jobs: int = 1_000_000
    churn_minutes: float = 1.0

    def jobs_of(self, body_bytes: int) -> int:
        """Of larger bodies fewer, so that they take about as much memory."""
        return max(1, self.jobs if body_bytes == BODY_BYTES[0] else self.jobs // 4)

    @property
    def depth(self) -> int:
        return max(1, self.jobs // 10)


QUICK = Effort(jobs=100_000, churn_minutes=0.1)


@dataclass(frozen=True)
class MemoryResults:
    """All that was measured."""

    levels: Sequence[Levels]
    churns: Sequence[Churn]
    pauses: Sequence[Pauses]

    def as_json(self) -> dict[str, Any]:
        """Every number, each series of samples included."""
        return {
            "levels": [one.as_json() for one in self.levels],
            "churn": [one.as_json() for one in self.churns],
            "pauses": [one.as_json() for one in self.pauses],
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when everything was measured, 1 with one line on stderr otherwise."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="fewer jobs, for a shorter time")
    parser.add_argument(
        "--jobs",
        type=positive_int,
        metavar="N",
        help=f"of 100 bytes; default {Effort.jobs:,}, quick {QUICK.jobs:,}",
    )
    parser.add_argument(
        "--churn-minutes",
        type=_minutes,
        metavar="M",
        help=f"default {Effort.churn_minutes:g}, quick {QUICK.churn_minutes:g}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    return ending_well(_measure, parser.parse_args(arguments))


def _minutes(text: str) -> float:
    number = float(text)
    if not 0.01 <= number <= 10_000:
        raise argparse.ArgumentTypeError("must be from 0.01 to 10000")
    return number


def _measure(options: argparse.Namespace) -> None:
    usual = QUICK if options.quick else Effort()
    effort = Effort(options.jobs or usual.jobs, options.churn_minutes or usual.churn_minutes)
    comparison = Comparison(
        Contender("beanstalkd", BEANSTALKD_COMMAND),
        Contender("beanrow", BEANROW_COMMAND),
        Load(build_load(), choose_cores()),
        rounds=1,
        seconds=effort.churn_minutes * 60,
        journals=Journals(),
    )
    report: dict[str, Any] = {
        "machine": describe_machine(),
        "run": describe_run(comparison),
    }
    progress = Progress(steps(effort))
    results = measure_all(comparison, effort, progress)
    progress.close()
    for side in ("baseline", "candidate"):
        print(f"{report['run'][side]['name']} {report['run'][side]['version']}")
    print(table(results))
    if options.json:
        report["memory"] = results.as_json()
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def steps(effort: Effort) -> int:
    """How many steps `measure_all` counts."""
    return 2 * len(BODY_BYTES) + 2 + len(BUILDS) * len(MODES)


def measure_all(comparison: Comparison, effort: Effort, progress: Progress) -> MemoryResults:
    """Measure both servers, then the collector. Raises BenchmarkError."""
    contenders = (comparison.baseline, comparison.candidate)
    levels = []
    for body_bytes in BODY_BYTES:
        jobs = effort.jobs_of(body_bytes)
        for contender in contenders:
            progress.announce(f"{contender.name}: {jobs:,} jobs of {body_bytes} bytes")
            one = fill_and_drain(comparison, contender, body_bytes, jobs)
            levels.append(one)
            progress.finish_step(
                f"{one.name}: {one.bytes_per_job:.0f} bytes a job of {body_bytes} bytes"
            )
    churns = []
    for contender in contenders:
        progress.announce(f"{contender.name}: {effort.depth:,} jobs come and go")
        seconds = effort.churn_minutes * 60
        came = churn(comparison, contender, BODY_BYTES[0], effort.depth, seconds)
        churns.append(came)
        progress.finish_step(f"{came.name}: {came.cycles:,} jobs came and went")
    pauses = []
    for build, mode in product(BUILDS, MODES):
        progress.announce(f"the cycle collector: {mode}, {build}")
        seen = measure(mode, effort.jobs, build)
        pauses.append(seen)
        progress.finish_step(f"the cycle collector, {mode}, {build}: {seen.longest_ms:.1f} ms")
    return MemoryResults(levels, churns, pauses)


def table(results: MemoryResults) -> str:
    """All of it in a few lines for a person."""
    return "\n".join(
        [
            *map(_level_line, results.levels),
            *map(_churn_line, results.churns),
            *map(_pause_line, results.pauses),
        ]
    )


def _level_line(one: Levels) -> str:
    return (
        f"{one.name:<10}  {one.jobs:>9,} jobs of {one.body_bytes:>4} bytes: "
        f"{one.bytes_per_job:6.0f} bytes each; {_mb(one.empty_bytes)} empty, "
        f"{_mb(one.full_bytes)} full, {_mb(one.emptied_bytes)} when all are deleted "
        f"({one.emptied_ratio:.2f} times the empty server)"
    )


def _churn_line(one: Churn) -> str:
    return (
        f"{one.name:<10}  {one.cycles:,} jobs came and went in {one.seconds:,.0f} s beside "
        f"{one.depth:,}: from {_mb(one.first_bytes)} to {_mb(one.last_bytes)} ({one.growth:+.1%})"
    )


def _pause_line(one: Pauses) -> str:
    return (
        f"collector {one.mode:<7} {one.collections:>6,} collections beside {one.jobs:,} jobs, "
        f"{one.build}: {one.total_ms:,.0f} ms in all, the longest {one.longest_ms:,.1f} ms; "
        f"{one.full_ms:,.1f} ms when asked for one"
    )


def _mb(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"


if __name__ == "__main__":
    sys.exit(main())
