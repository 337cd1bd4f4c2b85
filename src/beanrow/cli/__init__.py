"""The `beanrow` command: a server, and enough of a client to try a queue by hand."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from beanrow import __version__
from beanrow.cli import kick, put, reserve, serve, stats, tubes
from beanrow.errors import BeanrowError, InvalidArgument

FAILED: Final = 1
MISUSED: Final = 2
#: 128 + the number of the signal that would have ended another program here.
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

DESCRIPTION: Final = """\
A work queue that speaks the beanstalk protocol.

Try it in four terminals:

  beanrow serve                          the server
  beanrow put 'hello world'              the producer: puts jobs
  beanrow reserve                        the worker: takes a job, and decides what becomes of it
  beanrow tubes                          the maintainer: looks, and kicks what was buried
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
        status: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has seen enough. What is still in the buffer has to go
        # somewhere, or Python complains about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BeanrowError as error:
        print(f"beanrow: {error}", file=sys.stderr)
        return MISUSED if isinstance(error, InvalidArgument) else FAILED
    return status


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line, with the function to run in `run`."""
    parser = argparse.ArgumentParser(
        prog="beanrow",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"beanrow {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (serve, put, reserve, tubes, stats, kick):
        command.add_parser(commands).set_defaults(run=command.run)
    return parser
