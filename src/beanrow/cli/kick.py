"""`beanrow kick`: the maintainer gives buried jobs another chance."""

import argparse
from typing import TYPE_CHECKING, Final

from beanrow.cli.common import add_command, connect, print_json

if TYPE_CHECKING:
    from beanrow.cli.common import Commands

DESCRIPTION: Final = """\
Make buried jobs of a tube ready again, those buried first before the others; or the delayed ones,
if none is buried. Prints how many it were.
"""

EXAMPLES: Final = """\
  beanrow kick                   one job of the tube called default
  beanrow kick --tube mail 100   at most a hundred of the tube called mail
  beanrow kick --job 17          this one
"""


def add_parser(commands: "Commands") -> argparse.ArgumentParser:
    """Say what the command line may contain."""
    parser = add_command(commands, "kick", "make buried jobs ready", DESCRIPTION, EXAMPLES)
    parser.add_argument("-t", "--tube", default="default", help="the tube; default: %(default)s")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "bound", nargs="?", type=int, default=1, metavar="N", help="how many; default: %(default)s"
    )
    which.add_argument("-j", "--job", type=int, metavar="ID", help="this job, in whatever tube")
    return parser


def run(args: argparse.Namespace) -> int:
    """Kick, and print how many jobs that made ready."""
    with connect(args) as queue:
        if args.job is not None:
            queue.kick_job(args.job)
            kicked = 1
        else:
            queue.use(args.tube)
            kicked = queue.kick(args.bound)
    if args.json:
        print_json({"kicked": kicked})
    else:
        print(kicked)
    return 0
