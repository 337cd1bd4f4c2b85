"""`beanrow kick`: the maintainer gives buried jobs another chance."""

import argparse
from typing import TYPE_CHECKING, Final

from beanrow.cli.common import CommandError, Parser, add_client_command, connect, print_json
from beanrow.client import Connection
from beanrow.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from beanrow.cli.common import Commands

DESCRIPTION: Final = """\
Make buried jobs of a tube ready again, those buried first before the others; or the delayed ones,
if none is buried. Prints how many there were.
"""

EXAMPLES: Final = """\
  beanrow kick                   one job of the tube called default
  beanrow kick --tube mail 100   at most a hundred of the tube called mail
  beanrow kick --job 17          this one
"""


def add_parser(commands: "Commands") -> Parser:
    """Say what the command line may contain."""
    parser = add_client_command(commands, "kick", "make buried jobs ready", DESCRIPTION, EXAMPLES)
    parser.add_argument("-t", "--tube", help="the tube; default: default")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("bound", nargs="?", type=int, metavar="N", help="how many; default: 1")
    which.add_argument("-j", "--job", type=int, metavar="ID", help="this job, in whatever tube")
    return parser


def run(args: argparse.Namespace) -> int:
    """Kick, and print how many jobs that made ready."""
    if args.job is not None and args.tube is not None:
        raise InvalidArgument("--tube: not with --job, which is found in whatever tube it is")
    with connect(args) as queue:
        if args.job is not None:
            kicked = _kick_job(queue, args.job)
        else:
            queue.use("default" if args.tube is None else args.tube)
            kicked = queue.kick(1 if args.bound is None else args.bound)
    if args.json:
        print_json({"kicked": kicked})
    else:
        print(kicked)
    return 0


def _kick_job(queue: Connection, job_id: int) -> int:
    try:
        queue.kick_job(job_id)
    except NotFound:
        raise CommandError(f"job {job_id} does not exist, or is ready or reserved") from None
    return 1
