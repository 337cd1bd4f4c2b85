"""`beanrow put`: the producer."""

import argparse
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Final

from beanrow.cli.common import CommandError, Parser, add_client_command, connect, print_json, tell
from beanrow.client import DEFAULT_PRIORITY, DEFAULT_TTR_S
from beanrow.errors import InvalidArgument

if TYPE_CHECKING:
    from beanrow.cli.common import Commands

DESCRIPTION: Final = """\
Put jobs into a tube, one for each BODY, and print their ids.

Without a BODY, or with '-' for one, the body is read from standard input, every byte of it. With
--lines each line that is read there is a job, without its line end.
"""

EXAMPLES: Final = """\
  beanrow put 'hello world'
  beanrow put --tube mail --priority 10 --delay 60 'to: you'
  tar c photos | beanrow put --tube images --ttr 600
  beanrow put --tube urls --lines < urls.txt
"""


def add_parser(commands: "Commands") -> Parser:
    """Say what the command line may contain."""
    parser = add_client_command(commands, "put", "put jobs into a tube", DESCRIPTION, EXAMPLES)
    parser.add_argument("-t", "--tube", default="default", help="the tube; default: %(default)s")
    parser.add_argument(
        "-p",
        "--priority",
        type=int,
        default=DEFAULT_PRIORITY,
        metavar="N",
        help="0 to 4294967295, a smaller one goes first; default: %(default)s",
    )
    parser.add_argument(
        "-d",
        "--delay",
        type=int,
        default=0,
        metavar="S",
        help="seconds until the job is ready; default: %(default)s",
    )
    parser.add_argument(
        "--ttr",
        type=int,
        default=DEFAULT_TTR_S,
        metavar="S",
        help="seconds a worker may take before the job goes to another; default: %(default)s",
    )
    parser.add_argument("--lines", action="store_true", help="make a job of each line of input")
    parser.add_argument(
        "bodies", nargs="*", default=["-"], metavar="BODY", help="the body of a job"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Put the jobs and print their ids."""
    if args.bodies.count("-") > 1:
        raise InvalidArgument("'-' twice: standard input can be read only once")
    if args.lines and "-" not in args.bodies:
        raise InvalidArgument("--lines: makes jobs of standard input; leave the BODY out")
    with connect(args) as queue:
        queue.use(args.tube)
        for body in _bodies(args):
            job_id = queue.put(body, args.priority, args.delay, args.ttr)
            if args.json:
                print_json({"id": job_id, "tube": args.tube})
            else:
                print(job_id)
    return 0


def _bodies(args: argparse.Namespace) -> Iterator[bytes]:
    for text in args.bodies:
        if text != "-":
            yield os.fsencode(text)
            continue
        if args.lines:
            for line in _standard_input():
                yield line.removesuffix(b"\n").removesuffix(b"\r")
        else:
            yield _standard_input().read()


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise CommandError("standard input is closed; give a BODY, or something to read")
    if sys.stdin.isatty():
        tell("Type the body; Ctrl-D at the start of a line ends it.")
    return sys.stdin.buffer
