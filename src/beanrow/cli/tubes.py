"""`beanrow tubes`: the maintainer's view, all tubes and the states of their jobs."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from beanrow.cli.common import (
    Parser,
    add_client_command,
    connect,
    print_json,
    print_table,
    stats_document,
)
from beanrow.client import Connection, TubeStats
from beanrow.errors import NotFound

if TYPE_CHECKING:
    from beanrow.cli.common import Commands

DESCRIPTION: Final = """\
List the tubes with their jobs by state and their clients.

  ready, delayed, reserved, buried   jobs now in that state; urgent ones are among the ready
  using, watching, waiting           clients that put into it, reserve from it, wait for a job
  paused                             seconds until its jobs can be reserved again
"""

EXAMPLES: Final = """\
  beanrow tubes
  beanrow tubes --json | jq -r '.[] | select(."current-jobs-buried" > 0) | .name'
  watch -n 1 beanrow tubes
"""

HEADINGS: Final = (
    "tube",
    "ready",
    "urgent",
    "delayed",
    "reserved",
    "buried",
    "using",
    "watching",
    "waiting",
    "paused",
)


def add_parser(commands: "Commands") -> Parser:
    """Say what the command line may contain."""
    summary = "list the tubes with their jobs by state"
    return add_client_command(commands, "tubes", summary, DESCRIPTION, EXAMPLES)


def run(args: argparse.Namespace) -> int:
    """Ask for all tubes and print them by name."""
    with connect(args) as queue:
        found = list(_tubes(queue))
    if args.json:
        print_json([stats_document(tube) for tube in found])
    else:
        print_table([HEADINGS, *map(_row, found)])
    return 0


def _tubes(queue: Connection) -> Iterator[TubeStats]:
    for name in sorted(queue.tubes()):
        try:
            yield queue.stats_tube(name)
        except NotFound:
            continue  # it has vanished since the list was made, as empty tubes do


def _row(tube: TubeStats) -> list[str]:
    numbers = (
        tube.current_jobs_ready,
        tube.current_jobs_urgent,
        tube.current_jobs_delayed,
        tube.current_jobs_reserved,
        tube.current_jobs_buried,
        tube.current_using,
        tube.current_watching,
        tube.current_waiting,
        tube.pause_time_left,
    )
    return [tube.name, *map(str, numbers)]
