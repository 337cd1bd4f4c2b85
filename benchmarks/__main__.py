"""The command `python -m benchmarks`."""

import argparse
import json
import sys
from collections.abc import Sequence

from benchmarks.cases import CASES, select
from benchmarks.command import (
    common_parser,
    compare_all,
    comparison_of,
    describe_run,
    ending_well,
    heading,
)
from benchmarks.journals import Journals
from benchmarks.machine import describe_machine
from benchmarks.report import as_json, table, warnings

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
With a journal: python -m benchmarks.durability
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when everything was measured, 1 with one line on stderr otherwise."""
    parser = common_parser("python -m benchmarks", DESCRIPTION, EXAMPLES, CASES)
    return ending_well(_compare, parser.parse_args(arguments))


def _compare(options: argparse.Namespace) -> None:
    cases = select(options.cases)
    comparison = comparison_of(options, Journals())
    machine = describe_machine()
    run = describe_run(comparison)
    print(heading(machine, run), flush=True)
    results = compare_all(comparison, cases)
    names = comparison.baseline.name, comparison.candidate.name
    print(table(results, *names))
    for warning in warnings(results, *names):
        print(f"warning: {warning}")
    if options.json:
        options.json.write_text(json.dumps(as_json(results, machine, run), indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
