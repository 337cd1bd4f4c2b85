"""The command `python -m benchmarks`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beanrow.build import BUILD
from benchmarks.cases import CASES, Case, select
from benchmarks.compare import CaseResult, Comparison
from benchmarks.cores import choose_cores
from benchmarks.errors import BenchmarkError
from benchmarks.load import Load, build_load
from benchmarks.machine import describe_machine
from benchmarks.progress import Progress
from benchmarks.report import as_json, table, warnings
from benchmarks.servers import BEANROW_COMMAND, BEANSTALKD_COMMAND, Contender, running

FULL = (5, 2.0)  # rounds, seconds of a run
QUICK = (3, 0.5)

DESCRIPTION = """\
Measure beanrow and beanstalkd side by side under the same load.

Each round starts one server, loads it, ends it, and then does the same with the other one. The
load comes from a C program on another core, which sends a command only when an earlier one was
answered and which verifies every reply. Reported are commands a second, latencies, and the CPU
time the server used per command; the last is the number to trust on a busy machine.
"""

EXAMPLES = """\
examples:
  python -m benchmarks --quick                        all cases, in less than two minutes
  python -m benchmarks --cases 'cycle-*' --rounds 9   some cases, more rounds
  python -m benchmarks --self-check --quick           beanstalkd against itself: ratios near 1
  python -m benchmarks --candidate 'other-python -m beanrow serve -l 127.0.0.1 -p {port}'

beanstalkd comes from `make peers`. The load generator is compiled with cc (or $CC) when needed.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when everything was measured, 1 with one line on stderr otherwise."""
    options = _parser().parse_args(arguments)
    try:
        _compare(options)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbenchmarks: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    cases = "\n".join(f"  {case.name:<17} {case.meaning}" for case in CASES)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=DESCRIPTION,
        epilog=f"cases:\n{cases}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument(
        "--cases",
        default="*",
        metavar="NAMES",
        help="comma-separated names or patterns; default: all of the list below",
    )
    parser.add_argument(
        "--rounds", type=_positive_int, metavar="N", help=f"default {FULL[0]}, quick {QUICK[0]}"
    )
    parser.add_argument(
        "--seconds",
        type=_positive_float,
        metavar="S",
        help=f"how long the slower server works in a round; default {FULL[1]}, quick {QUICK[1]}",
    )
    parser.add_argument(
        "--body",
        type=_body_bytes,
        default=100,
        metavar="BYTES",
        help="of each job; default %(default)s",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    parser.add_argument(
        "--self-check",
        action="store_true",
        help="compare the baseline with itself: how far from 1 the ratios are is the error",
    )
    parser.add_argument(
        "--baseline",
        default=BEANSTALKD_COMMAND,
        metavar="COMMAND",
        help="another server to compare with, {port} where its port belongs",
    )
    parser.add_argument(
        "--candidate",
        default=BEANROW_COMMAND,
        metavar="COMMAND",
        help="another server to examine, likewise",
    )
    return parser


def _positive_int(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _positive_float(text: str) -> float:
    number = float(text)
    if not 0.01 <= number <= 3600:
        raise argparse.ArgumentTypeError("must be from 0.01 to 3600")
    return number


def _body_bytes(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError("must be from 0 to 65535, what every server takes")
    return number


def _contenders(options: argparse.Namespace) -> tuple[Contender, Contender]:
    usual = options.baseline == BEANSTALKD_COMMAND
    baseline = Contender("beanstalkd" if usual else "baseline", options.baseline)
    if options.self_check:
        return baseline, Contender(f"{baseline.name} again", options.baseline)
    usual = options.candidate == BEANROW_COMMAND
    return baseline, Contender("beanrow" if usual else "candidate", options.candidate)


def _compare(options: argparse.Namespace) -> None:
    cases = select(options.cases)
    rounds, seconds = QUICK if options.quick else FULL
    baseline, candidate = _contenders(options)
    cores = choose_cores()
    comparison = Comparison(
        baseline,
        candidate,
        Load(build_load(), cores, options.body),
        rounds=options.rounds or rounds,
        seconds=options.seconds or seconds,
    )
    machine = describe_machine()
    run = {
        "baseline": _identity(baseline, cores.server),
        "candidate": _identity(candidate, cores.server),
        "rounds": comparison.rounds,
        "seconds": comparison.seconds,
        "body_bytes": options.body,
        "pinning": str(cores),
    }
    print(_heading(machine, run), flush=True)
    results = _run(comparison, cases)
    print(table(results, baseline.name, candidate.name))
    for warning in warnings(results, baseline.name, candidate.name):
        print(f"warning: {warning}")
    if options.json:
        options.json.write_text(json.dumps(as_json(results, machine, run), indent=2) + "\n")


def _identity(contender: Contender, core: int | None) -> dict[str, str]:
    """Start the server once, so that a wrong command is noticed before anything is measured."""
    # Beanrow runs in another process of this interpreter, hence in the same build as this one.
    build = f", {BUILD}" if contender.command == BEANROW_COMMAND else ""
    with running(contender, core) as server:
        return {
            "name": contender.name,
            "version": server.version + build,
            "command": contender.command,
        }


def _heading(machine: dict[str, str], run: dict[str, Any]) -> str:
    baseline, candidate = run["baseline"], run["candidate"]
    return (
        f"{baseline['name']} ({baseline['version']}) and "
        f"{candidate['name']} ({candidate['version']}), "
        f"{run['rounds']} rounds of {run['seconds']:g} s, bodies of {run['body_bytes']} bytes\n"
        f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, {machine['python']}\n"
        f"{run['pinning']}; load average at the start {machine['load_average']}\n"
    )


def _run(comparison: Comparison, cases: Sequence[Case]) -> list[CaseResult]:
    progress = Progress(len(cases) * (1 + comparison.rounds))
    results = []
    for case in cases:
        progress.announce(case.name)
        results.append(comparison.compare(case, progress.finish_step))
    progress.close()
    return results


if __name__ == "__main__":
    sys.exit(main())
