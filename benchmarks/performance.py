"""The whole report of docs/performance.md in one command: `python -m benchmarks.performance`.

It runs what the other commands of this package measure, one part after the other, and keeps every
number of every round in one file.
"""

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import figures, memory, scaling
from benchmarks.cases import CASES, DURABILITY_CASES, Case, select
from benchmarks.command import (
    FULL,
    common_parser,
    compare_all,
    comparison_of,
    describe_run,
    ending_well,
    heading,
    positive_int,
)
from benchmarks.compare import Comparison
from benchmarks.errors import BenchmarkError
from benchmarks.journals import Journals
from benchmarks.kept import RESULTS
from benchmarks.load import BUILD_FOLDER
from benchmarks.machine import describe_machine
from benchmarks.progress import Progress
from benchmarks.redis_peer import CASES as REDIS_CASES
from benchmarks.redis_peer import why_missing
from benchmarks.report import as_json, table, warnings
from benchmarks.servers import redis_contender

#: Rounds, and seconds of each, for the rates; and for all else, which needs less of both.
EFFORT = (FULL, (3, 0.5))
QUICK_EFFORT = ((2, 0.3), (2, 0.25))

#: An hour of jobs that come and go is for `python -m benchmarks.memory --churn-minutes 60`.
MEMORY_EFFORT = memory.Effort(churn_minutes=0.25)
QUICK_MEMORY_EFFORT = memory.Effort(jobs=100_000, churn_minutes=0.03)

DURABLE_CASES = select("put-50-f0,put-1-f0", DURABILITY_CASES)

#: Points that take long to be filled are not for a quick look.
MOST_QUICK_JOBS = 100_000
MOST_QUICK_TUBES = 1_000

DESCRIPTION = """\
Make the whole performance report: all cases beside beanstalkd, how costs grow, memory, durable
puts, and Redis as a queue. It takes about twelve minutes, with --quick about two.
"""

EXAMPLES = """\
examples:
  python -m benchmarks.performance --quick
  python -m benchmarks.performance --parts redis,durable
  python -m benchmarks.performance --keep --long       and bring it into docs/performance.md
  python -m benchmarks.performance --keep --parts redis  only this part anew
"""


@dataclass(frozen=True)
class Plan:
    """What a part has to know: `full` is for the cases, `brief` for all that is beside them."""

    full: Comparison
    brief: Comparison
    options: argparse.Namespace


def _rates(plan: Plan) -> Any:
    return _compared(plan.full, select(plan.options.cases))


def _durable(plan: Plan) -> Any:
    return {"disk": plan.brief.journals.describe(), **_compared(plan.brief, DURABLE_CASES)}


def _redis(plan: Plan) -> Any:
    """Redis is a peer for scale; without it the report is made all the same."""
    comparison = replace(plan.brief, baseline=redis_contender())
    try:
        if (reason := why_missing()) is not None:
            raise BenchmarkError(reason)
        run = describe_run(comparison)
    except BenchmarkError as error:
        print(f"Redis is not measured: {error}", file=sys.stderr)
        return {"missing": str(error)}
    return {"run": run, **_compared(comparison, REDIS_CASES)}


def _compared(comparison: Comparison, cases: Sequence[Case]) -> dict[str, Any]:
    names = comparison.baseline.name, comparison.candidate.name
    results = compare_all(comparison, cases)
    print(table(results, *names))
    doubts = warnings(results, *names)
    for doubt in doubts:
        print(f"warning: {doubt}")
    print(flush=True)
    return {"cases": as_json(results, {}, {})["cases"], "warnings": doubts}


def _scaling(plan: Plan) -> Any:
    points = scaling.choose(plan.options.points, long=plan.options.long)
    if plan.options.quick:
        points = [
            point
            for point in points
            if point.jobs <= MOST_QUICK_JOBS and point.case.tubes <= MOST_QUICK_TUBES
        ]
    progress = Progress(len(points))
    results = scaling.measure_all(plan.brief, points, progress)
    progress.close()
    names = plan.brief.baseline.name, plan.brief.candidate.name
    print(f"{scaling.table(results, *names)}\n", flush=True)
    return scaling.as_json(results)


def _memory(plan: Plan) -> Any:
    effort = QUICK_MEMORY_EFFORT if plan.options.quick else MEMORY_EFFORT
    if plan.options.memory_jobs is not None:
        effort = replace(effort, jobs=plan.options.memory_jobs)
    progress = Progress(memory.steps(effort))
    results = memory.measure_all(plan.brief, effort, progress)
    progress.close()
    print(f"{memory.table(results)}\n", flush=True)
    return results.as_json()


PARTS: dict[str, Callable[[Plan], Any]] = {
    "rates": _rates,
    "scaling": _scaling,
    "memory": _memory,
    "durable": _durable,
    "redis": _redis,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when everything was measured, 1 with one line on stderr otherwise."""
    parser = common_parser("python -m benchmarks.performance", DESCRIPTION, EXAMPLES, CASES)
    parser.add_argument(
        "--parts",
        default=",".join(PARTS),
        metavar="NAMES",
        help="only these of %(default)s",
    )
    parser.add_argument(
        "--points",
        default="*",
        metavar="NAMES",
        help="likewise, of `python -m benchmarks.scaling --help`; default: all but the longest",
    )
    parser.add_argument(
        "--memory-jobs",
        type=positive_int,
        metavar="N",
        help=f"default {MEMORY_EFFORT.jobs:,}, quick {QUICK_MEMORY_EFFORT.jobs:,}",
    )
    parser.add_argument("--long", action="store_true", help="up to ten million jobs in a tube")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep it in benchmarks/results, and bring it into docs/performance.md",
    )
    return ending_well(_measure, parser.parse_args(arguments))


def _measure(options: argparse.Namespace) -> None:
    parts = _wanted(options)
    target = _target(options)
    comparison = comparison_of(options, Journals())
    full, brief = (
        replace(comparison, rounds=options.rounds or rounds, seconds=options.seconds or seconds)
        for rounds, seconds in (QUICK_EFFORT if options.quick else EFFORT)
    )
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    report: dict[str, Any] = {
        "made_at": made_at,
        "machine": describe_machine(),
        "run": describe_run(full),
        "brief": {"rounds": brief.rounds, "seconds": brief.seconds},
    }
    print(heading(report["machine"], report["run"]), flush=True)
    report["took_s"] = {}
    if options.keep and parts != list(PARTS):  # the others stay as they are
        report = json.loads(target.read_text())
        report["again"] = report.get("again", {}) | dict.fromkeys(parts, made_at)
    for number, name in enumerate(parts, 1):
        print(f"part {number} of {len(parts)}: {name}", file=sys.stderr, flush=True)
        started_s = time.monotonic()
        report[name] = PARTS[name](Plan(full, brief, options))
        report["took_s"][name] = round(time.monotonic() - started_s, 1)
        target.write_text(json.dumps(report, indent=1) + "\n")  # a later part may fail
    print(f"every number of every round is in {target}")
    if options.keep:
        figures.main([])


def _wanted(options: argparse.Namespace) -> list[str]:
    parts = [name.strip() for name in options.parts.split(",")]
    for name in parts:
        if name not in PARTS:
            raise BenchmarkError(f"no part is called {name!r}; there are {', '.join(PARTS)}")
    return parts


def _target(options: argparse.Namespace) -> Path:
    """Where to write; what would fail after ten minutes should rather fail now."""
    if not options.keep:
        BUILD_FOLDER.mkdir(exist_ok=True)
        target: Path = options.json or BUILD_FOLDER / "performance.json"
        if not target.parent.is_dir():
            raise BenchmarkError(f"--json: there is no folder {target.parent}")
        return target
    narrowed = (options.cases, options.points, options.memory_jobs) != ("*", "*", None)
    if narrowed or options.json:
        raise BenchmarkError(
            "--keep is for the whole report, or whole parts of it, in the usual place: it needs no "
            "--json, and nothing else that narrows it"
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise BenchmarkError("--keep draws the pictures: .venv/bin/pip install -e '.[bench]'")
    return RESULTS / "performance.json"


if __name__ == "__main__":
    sys.exit(main())
