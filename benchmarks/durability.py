"""The command `python -m benchmarks.durability`."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cases import DURABILITY_CASES, select
from benchmarks.churn import ChurnResult, churn
from benchmarks.command import (
    common_parser,
    compare_all,
    comparison_of,
    describe_run,
    ending_well,
    heading,
    positive_int,
)
from benchmarks.compare import Comparison
from benchmarks.journals import IN_MEMORY, SEGMENT_BYTES, Journals
from benchmarks.machine import describe_machine
from benchmarks.progress import Progress
from benchmarks.report import as_json, table, warnings
from benchmarks.restart import RestartResult, compare_restarts

RESTART_JOBS = 1_000_000
QUICK_RESTART_JOBS = 50_000

DESCRIPTION = """\
Measure beanrow and beanstalkd side by side, both with a journal on the same disk.

Each round starts one server on a fresh directory, loads it, ends it, and then does the same with
the other one, as `python -m benchmarks` does; `-b DIRECTORY` and the policy are put behind either
command line. Then each server gets a journal of many jobs, and both are started on it in turns: the
time to the first reply. With --churn, nothing but the growth of the journal is measured.
"""

EXAMPLES = """\
examples:
  python -m benchmarks.durability --quick                all of it, in a few minutes
  python -m benchmarks.durability --cases 'put-50-*' --restart-jobs 0
  python -m benchmarks.durability --cases '' --rounds 9  only the restart
  python -m benchmarks.durability --directory /srv/queue on another disk
  python -m benchmarks.durability --churn 10000000       ten million jobs come and go, one stays
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when everything was measured, 1 with one line on stderr otherwise."""
    parser = common_parser(
        "python -m benchmarks.durability", DESCRIPTION, EXAMPLES, DURABILITY_CASES
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=Journals.parent,
        metavar="DIR",
        help="where journals are made, and removed again; default: in this checkout",
    )
    parser.add_argument(
        "--restart-jobs",
        type=int,
        metavar="N",
        help=f"0: do not restart; default {RESTART_JOBS:,}, quick {QUICK_RESTART_JOBS:,}",
    )
    parser.add_argument(
        "--churn", type=positive_int, metavar="N", help="so many jobs come and go beside one"
    )
    return ending_well(_measure, parser.parse_args(arguments))


def _measure(options: argparse.Namespace) -> None:
    cases = select(options.cases, DURABILITY_CASES) if options.cases else ()
    journals = Journals(options.directory)
    comparison = comparison_of(options, journals)
    machine = describe_machine()
    run = describe_run(comparison) | {"disk": journals.describe()}
    print(_heading(machine, run), flush=True)
    if options.churn:
        outcome = _churn(comparison, options.churn)
    else:
        outcome = _compare(comparison, cases, options)
    if options.json:
        outcome = {"machine": machine, "run": run} | outcome
        options.json.write_text(json.dumps(outcome, indent=2) + "\n")


def _heading(machine: dict[str, str], run: dict[str, Any]) -> str:
    disk = run["disk"]
    warning = ", WHICH IS NO DISK" if disk["file_system"] in IN_MEMORY else ""
    return heading(machine, run) + (
        f"journals on {disk['file_system']}{warning}; one append of 170 bytes and fdatasync after "
        f"the other: {disk['syncs_per_s']} a second\n"
    )


def _compare(
    comparison: Comparison, cases: Sequence[Any], options: argparse.Namespace
) -> dict[str, Any]:
    names = comparison.baseline.name, comparison.candidate.name
    results = compare_all(comparison, cases)
    if results:
        print(table(results, *names))
    for warning in warnings(results, *names):
        print(f"warning: {warning}")
    outcome: dict[str, Any] = {"cases": as_json(results, {}, {})["cases"]}
    jobs = options.restart_jobs
    if jobs is None:
        jobs = QUICK_RESTART_JOBS if options.quick else RESTART_JOBS
    if jobs:
        progress = Progress(2 + comparison.rounds)
        restarts = compare_restarts(comparison, jobs, progress.finish_step)
        progress.close()
        print(_restart_table(restarts, names))
        outcome["restart"] = _restart_as_json(restarts)
    return outcome


def _restart_table(result: RestartResult, names: tuple[str, str]) -> str:
    lines = [f"\nrestart with {result.jobs:,} jobs, seconds to the first reply"]
    for side, name in enumerate(names):
        lines.append(
            f"  {name:<16} {result.seconds(side):6.2f} s, CPU {result.cpu_s(side):.2f} s, "
            f"journal of {result.journal_bytes[side] / 1e6:,.0f} MB"
        )
    ratios = result.ratios
    lines.append(
        f"  ratio            {median(ratios):6.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}), "
        f"below 1: {names[1]} is faster"
    )
    return "\n".join(lines)


def _restart_as_json(result: RestartResult) -> dict[str, Any]:
    return dataclasses.asdict(result) | {
        "rounds": [
            {"baseline": dataclasses.asdict(one), "candidate": dataclasses.asdict(other)}
            for one, other in result.rounds
        ],
        "baseline_s": result.seconds(0),
        "candidate_s": result.seconds(1),
        "ratio": median(result.ratios),
    }


def _churn(comparison: Comparison, cycles: int) -> dict[str, Any]:
    outcome = {}
    for side, contender in (("baseline", comparison.baseline), ("candidate", comparison.candidate)):
        progress = Progress(1)
        result = churn(comparison, contender, cycles, progress.announce)
        progress.finish_step(f"{contender.name}: {cycles:,} cycles in {result.seconds:.1f} s")
        progress.close()
        print(_churn_line(result))
        outcome[side] = result.as_json()
    return {"churn": outcome}


def _churn_line(result: ChurnResult) -> str:
    verdict = "within" if result.is_within_bound else "BEYOND"
    return (
        f"{result.name}: {result.cycles:,} put/reserve/delete beside a buried job; at most "
        f"{result.worst.bytes:,} bytes after {result.worst.deletes:,} deletes, {verdict} the bound "
        f"of {result.bound_bytes:,} (segments of {SEGMENT_BYTES:,})"
    )


if __name__ == "__main__":
    sys.exit(main())
