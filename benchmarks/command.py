"""What the two commands of this package share: options, the servers, the heading, the run."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from beanrow.build import BUILD
from benchmarks.cases import Case
from benchmarks.compare import CaseResult, Comparison
from benchmarks.cores import choose_cores
from benchmarks.errors import BenchmarkError
from benchmarks.journals import Journals
from benchmarks.load import Load, build_load
from benchmarks.progress import Progress
from benchmarks.servers import BEANROW_COMMAND, BEANSTALKD_COMMAND, CHECKOUT, Contender, running

FULL = (5, 2.0)  # rounds, seconds of a run
QUICK = (3, 0.5)


def common_parser(
    program: str, description: str, examples: str, cases: Sequence[Case]
) -> argparse.ArgumentParser:
    """The options that both commands have."""
    listing = "\n".join(f"  {case.name:<17} {case.meaning}" for case in cases)
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=f"cases:\n{listing}\n\n{examples}",
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
        "--rounds", type=positive_int, metavar="N", help=f"default {FULL[0]}, quick {QUICK[0]}"
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


def positive_int(text: str) -> int:
    """For argparse: a whole number from 1."""
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


def ending_well(work: Callable[[argparse.Namespace], None], options: argparse.Namespace) -> int:
    """Do the work; 0 when everything was measured, 1 with one line on stderr otherwise."""
    try:
        work(options)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbenchmarks: interrupted", file=sys.stderr)
        return 130
    return 0


def comparison_of(options: argparse.Namespace, journals: Journals) -> Comparison:
    """What the options ask for."""
    rounds, seconds = QUICK if options.quick else FULL
    baseline, candidate = _contenders(options)
    return Comparison(
        baseline,
        candidate,
        Load(build_load(), choose_cores(), options.body),
        rounds=options.rounds or rounds,
        seconds=options.seconds or seconds,
        journals=journals,
    )


def _contenders(options: argparse.Namespace) -> tuple[Contender, Contender]:
    usual = options.baseline == BEANSTALKD_COMMAND
    baseline = Contender("beanstalkd" if usual else "baseline", options.baseline)
    if options.self_check:
        return baseline, Contender(f"{baseline.name} again", options.baseline)
    usual = options.candidate == BEANROW_COMMAND
    return baseline, Contender("beanrow" if usual else "candidate", options.candidate)


def describe_run(comparison: Comparison) -> dict[str, Any]:
    """Who is compared and how, for the heading and the JSON."""
    core = comparison.load.cores.server
    return {
        "baseline": _identity(comparison.baseline, core),
        "candidate": _identity(comparison.candidate, core),
        "rounds": comparison.rounds,
        "seconds": comparison.seconds,
        "body_bytes": comparison.load.body_bytes,
        "pinning": str(comparison.load.cores),
    }


def _identity(contender: Contender, core: int | None) -> dict[str, str]:
    """Start the server once, so that a wrong command is noticed before anything is measured."""
    # Beanrow runs in another process of this interpreter, hence in the same build as this one.
    build = f", {BUILD}" if contender.command == BEANROW_COMMAND else ""
    with running(contender, core) as server:
        return {
            "name": contender.name,
            "version": server.version + build,
            # As it is typed in the checkout, wherever that lies.
            "command": contender.command.replace(f"{CHECKOUT}/", ""),
        }


def heading(machine: dict[str, str], run: dict[str, Any]) -> str:
    """What was measured, on what, in a few lines."""
    baseline, candidate = run["baseline"], run["candidate"]
    return (
        f"{baseline['name']} ({baseline['version']}) and "
        f"{candidate['name']} ({candidate['version']}), "
        f"{run['rounds']} rounds of {run['seconds']:g} s, bodies of {run['body_bytes']} bytes\n"
        f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, {machine['python']}\n"
        f"{run['pinning']}; load average at the start {machine['load_average']}\n"
    )


def compare_all(comparison: Comparison, cases: Sequence[Case]) -> list[CaseResult]:
    """Measure one case after the other, and tell on stderr how far it is."""
    suited = [comparison.suited_to(case) for case in cases]
    progress = Progress(sum(1 + one.rounds for one in suited))
    results = []
    for one, case in zip(suited, cases, strict=True):
        progress.announce(case.name)
        results.append(one.compare(case, progress.finish_step))
    progress.close()
    return results
