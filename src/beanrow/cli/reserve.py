"""`beanrow reserve`: the worker."""

import argparse
import base64
import sys
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from beanrow.cli.common import (
    CommandError,
    Parser,
    add_client_command,
    connect,
    is_terminal,
    print_json,
)
from beanrow.cli.ending import FAILED, tell
from beanrow.client import Connection, Job
from beanrow.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from beanrow.cli.common import Commands

DESCRIPTION: Final = """\
Reserve a job, waiting for one if need be, print its body, and then delete, release or bury it.

What becomes of the job is asked at the terminal, unless one of --delete, --release and --bury
says it. Without a terminal to ask at, a single job is released, so that nothing is lost.

The body goes to standard output, with a line end if it has none; all else to standard error. With
--raw the body is all there is, byte for byte.
"""

EXAMPLES: Final = """\
  beanrow reserve                                    take a job and decide
  beanrow reserve --tube mail --tube urls --follow   one after the other, from two tubes
  beanrow reserve --timeout 0 --delete --raw > body  take what is there, or fail at once
  beanrow reserve --follow --delete --json           a line of JSON for each job
"""

QUESTION: Final = "[d]elete, [r]elease, [b]ury, or [t]ouch (more time)? "
ANSWERS: Final = ("delete", "release", "bury", "touch")


def add_parser(commands: "Commands") -> Parser:
    """Say what the command line may contain."""
    summary = "take jobs, as a worker"
    parser = add_client_command(commands, "reserve", summary, DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "-t",
        "--tube",
        action="append",
        dest="tubes",
        metavar="TUBE",
        help="a tube to watch, may repeat; default: default",
    )
    parser.add_argument(
        "--timeout", type=int, metavar="S", help="seconds to wait for a job; default: for ever"
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument(
        "-n",
        "--count",
        type=int,
        default=1,
        metavar="N",
        help="how many jobs; default: %(default)s",
    )
    amount.add_argument("-f", "--follow", action="store_true", help="go on until interrupted")
    parser.add_argument(
        "--raw", action="store_true", help="print the body and nothing else, as it was put"
    )
    fate = parser.add_mutually_exclusive_group()
    for answer in ANSWERS[:3]:
        fate.add_argument(
            f"--{answer}",
            action="store_const",
            const=answer,
            dest="fate",
            help=f"{answer} each job once it is printed",
        )
    return parser


def run(args: argparse.Namespace) -> int:
    """Reserve, print and finish as many jobs as asked for."""
    if args.count < 1:
        raise InvalidArgument(f"--count: {args.count} is not a whole number above 0")
    if args.raw and args.json:
        raise InvalidArgument("--raw: not with --json")
    asks = is_terminal(sys.stdin) and is_terminal(sys.stderr)
    if not (args.fate or asks) and (args.follow or args.count > 1):
        raise InvalidArgument(
            "several jobs, and no terminal to ask what becomes of them: add --delete, --release "
            "or --bury"
        )
    fate = args.fate or (None if asks else "release")
    status = 0
    with connect(args) as queue:
        _watch_only(queue, args.tubes or ["default"])
        for _ in count() if args.follow else range(args.count):
            job = queue.reserve(args.timeout)
            if job is None:
                raise CommandError(f"no job within {args.timeout} s")
            if args.raw:
                _print_body(job.body)
            else:
                _print_job(job, as_json=args.json)
            if not _finish(job, fate):
                tell(
                    f"{args.prog}: the time to run of job {job.id} is over; "
                    "the server has taken it back"
                )
                status = FAILED
    return status


def _watch_only(queue: Connection, tubes: list[str]) -> None:
    for tube in tubes:
        queue.watch(tube)
    if "default" not in tubes:
        queue.ignore("default")


def _print_job(job: Job, *, as_json: bool) -> None:
    """Print the job, all of it, before anything happens to it."""
    stats = job.stats()
    if as_json:
        print_json(
            {"id": job.id, "tube": stats.tube, "priority": stats.pri, **_json_body(job.body)}
        )
    else:
        tell(f"job {job.id} from tube {stats.tube}, {len(job.body)} B:")
        _print_body(job.body if job.body.endswith(b"\n") else job.body + b"\n")
    sys.stdout.flush()


def _print_body(body: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()


def _json_body(body: bytes) -> dict[str, Any]:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}


def _finish(job: Job, fate: str | None) -> bool:
    """Do with the job what was decided, or ask until that is done; tells if it was still ours."""
    try:
        while job.reserved:
            getattr(job, fate or _ask())()
    except NotFound:
        return False
    return True


def _ask() -> str:
    """Ask what becomes of a job; whoever leaves without an answer releases it."""
    while True:
        print(QUESTION, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            tell("release")
            return "release"
        for answer in ANSWERS:
            if line.strip() and answer.startswith(line.strip().lower()):
                return answer
