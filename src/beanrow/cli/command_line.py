"""The `beanrow` command: a server, and enough of a client to try a queue by hand."""

import argparse
from collections.abc import Sequence
from typing import Final

from beanrow.build import VERSION_LINE
from beanrow.cli import bench, journal, kick, put, reserve, serve, stats, tubes
from beanrow.cli.common import Parser, misuse
from beanrow.cli.ending import FAILED, MISUSED, run_to_end, tell
from beanrow.errors import BeanrowError, InvalidArgument

DESCRIPTION: Final = """\
A work queue that speaks the beanstalk protocol.

Try it in a few terminals:

  beanrow serve                          the server
  beanrow put 'hello world'              the producer: puts jobs
  beanrow reserve                        the worker: takes a job, and decides what becomes of it
  beanrow tubes                          the maintainer: looks what there is
  beanrow kick                           the maintainer: makes a buried job ready again
  beanrow journal inspect DIRECTORY      the maintainer: looks at what is kept on disk
  beanrow bench                          the maintainer: measures what the server can do
"""

EPILOG: Final = """\
'beanrow COMMAND --help' tells more about each. The commands for people find the server by
--server, or else in the environment variable BEANROW_SERVER, or else on 127.0.0.1:11300.

Exit status: 0 done, 1 failed or nothing found, 2 a wrong option or argument.
"""


def run(argv: Sequence[str] | None) -> int:
    """Run a command line, `sys.argv` if it is None, and return the exit status."""
    try:
        args = build_parser().parse_args(argv)
    except SystemExit as end:  # it has told a mistake, or the help that was asked for
        return int(end.code or 0)
    return run_to_end(args.prog, lambda: _run(args))


def build_parser() -> Parser:
    """Make the parser of the whole command line.

    Parsed, it has the function to run in `run`, and in `prog` what its messages begin with.
    """
    parser = Parser(prog="beanrow", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=VERSION_LINE)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (serve, put, reserve, tubes, stats, kick, journal, bench):
        command_parser = command.add_parser(commands)
        command_parser.set_defaults(run=command.run, prog=command_parser.prog)
    return parser


def _run(args: argparse.Namespace) -> int:
    """Run the command; what is wrong with it, or with the queue, is told in one line."""
    try:
        status: int = args.run(args)
    except InvalidArgument as error:
        tell(misuse(args.prog, str(error)))
        return MISUSED
    except BeanrowError as error:
        tell(f"{args.prog}: {error}")
        return FAILED
    return status
