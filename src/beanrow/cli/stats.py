"""`beanrow stats`: all numbers of the server, a tube or a job."""

import argparse
from typing import TYPE_CHECKING, Final

from beanrow.cli.common import (
    CommandError,
    Parser,
    add_client_command,
    connect,
    print_json,
    stats_document,
)
from beanrow.client import Connection, Stats
from beanrow.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from beanrow.cli.common import Commands

DESCRIPTION: Final = """\
Show the numbers of the server, or of one tube, or of one job, as the server calls them. Times
are in seconds and sizes in bytes.

A number is the id of a job, anything else the name of a tube; --tube is for a tube whose name is
a number.
"""

EXAMPLES: Final = """\
  beanrow stats                  the server
  beanrow stats mail             the tube called mail
  beanrow stats 17               the job 17
  beanrow stats --json | jq '."current-jobs-ready"'
"""


def add_parser(commands: "Commands") -> Parser:
    """Say what the command line may contain."""
    summary = "show the numbers of the server, a tube or a job"
    parser = add_client_command(commands, "stats", summary, DESCRIPTION, EXAMPLES)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("what", nargs="?", metavar="TUBE|ID", help="a tube or a job")
    what.add_argument("-t", "--tube", help="a tube, whatever it is called")
    return parser


def run(args: argparse.Namespace) -> int:
    """Ask for the numbers and print them."""
    with connect(args) as queue:
        document = stats_document(_ask(queue, args))
    if args.json:
        print_json(document)
    else:
        width = max(map(len, document))
        for key, value in document.items():
            shown = str(value).lower() if isinstance(value, bool) else value
            print(f"{key:{width}}  {shown}")
    return 0


def _ask(queue: Connection, args: argparse.Namespace) -> Stats:
    if args.tube is not None:
        return _ask_tube(queue, args.tube)
    if args.what is None:
        return queue.stats()
    if args.what.isascii() and args.what.isdigit():
        return _ask_job(queue, _job_id(args.what))
    return _ask_tube(queue, args.what)


def _job_id(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python converts some thousands of digits, and no more
        raise InvalidArgument(f"a job id has no {len(digits)} digits") from None


def _ask_tube(queue: Connection, name: str) -> Stats:
    try:
        return queue.stats_tube(name)
    except NotFound:
        raise CommandError(f"no such tube: {name}") from None


def _ask_job(queue: Connection, job_id: int) -> Stats:
    try:
        return queue.stats_job(job_id)
    except NotFound:
        raise CommandError(f"no such job: {job_id}") from None
