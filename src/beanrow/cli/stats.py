"""`beanrow stats`: all numbers of the server, a tube or a job."""

import argparse
from typing import TYPE_CHECKING, Final

from beanrow.cli.common import add_command, connect, print_json, stats_document
from beanrow.client import Connection, Stats

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


def add_parser(commands: "Commands") -> argparse.ArgumentParser:
    """Say what the command line may contain."""
    summary = "show the numbers of the server, a tube or a job"
    parser = add_command(commands, "stats", summary, DESCRIPTION, EXAMPLES)
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
        return queue.stats_tube(args.tube)
    if args.what is None:
        return queue.stats()
    if args.what.isascii() and args.what.isdigit():
        return queue.stats_job(int(args.what))
    return queue.stats_tube(args.what)
