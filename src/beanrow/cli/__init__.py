"""The `beanrow` command: a server, and enough of a client to try a queue by hand."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from beanrow import __version__
from beanrow.cli import kick, put, reserve, serve, stats, tubes
from beanrow.cli.common import FAILED, MISUSED, Parser, misuse, tell
from beanrow.errors import BeanrowError, InvalidArgument

#: 128 + the number of the signal that would have ended another program here. (The server has the
#: first of them too, for its second SIGINT; commands of clients do not import the server.)
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

DESCRIPTION: Final = """\
A work queue that speaks the beanstalk protocol.

Try it in a few terminals:

  beanrow serve                          the server
  beanrow put 'hello world'              the producer: puts jobs
  beanrow reserve                        the worker: takes a job, and decides what becomes of it
  beanrow tubes                          the maintainer: looks what there is
  beanrow kick                           the maintainer: makes a buried job ready again
"""

EPILOG: Final = """\
'beanrow COMMAND --help' tells more about each. The commands for people find the server by
--server, or else in the environment variable BEANROW_SERVER, or else on 127.0.0.1:11300.

Exit status: 0 done, 1 failed or nothing found, 2 a wrong option or argument.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, `sys.argv` unless given, and return the exit status."""
    args = build_parser().parse_args(argv)
    try:
        status = _run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough
        _drop_output()
        return BROKEN_PIPE
    except OSError as error:  # those of a connection are BeanrowErrors
        _drop_output()
        tell(f"{args.prog}: cannot read the input or write the output: {error.strerror}")
        return FAILED
    return status


def build_parser() -> Parser:
    """Make the parser of the whole command line.

    Parsed, it has the function to run in `run`, and in `prog` what its messages begin with.
    """
    parser = Parser(prog="beanrow", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"beanrow {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (serve, put, reserve, tubes, stats, kick):
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


def _drop_output() -> None:
    """Let go what cannot be written, or Python tries it again at exit, and complains."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
