"""`beanrow put`: the producer."""

import argparse
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Final

from beanrow.cli.common import CommandError, Parser, add_client_command, connect, print_json
from beanrow.cli.ending import tell
from beanrow.client import DEFAULT_PRIORITY, DEFAULT_TTR_S, Connection
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

READ_BYTES: Final = 1024 * 1024


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
        for body in _bodies(queue, args):
            job_id = queue.put(body, args.priority, args.delay, args.ttr)
            if args.json:
                print_json({"id": job_id, "tube": args.tube})
            else:
                print(job_id)
    return 0


def _bodies(queue: Connection, args: argparse.Namespace) -> Iterator[bytes]:
    for text in args.bodies:
        if text != "-":
            yield os.fsencode(text)
            continue
        source, max_bytes = _standard_input(), queue.stats().max_job_size
        if args.lines:
            yield from _lines(source, max_bytes)
        else:
            yield _checked("standard input", _read(source, max_bytes + 1), max_bytes)


def _read(source: BinaryIO, max_bytes: int) -> bytes:
    # Step by step, for Python takes the memory for as much as is asked for before it reads.
    body = bytearray()
    while size := min(READ_BYTES, max_bytes - len(body)):
        body += (chunk := source.read(size))
        if len(chunk) < size:  # at a terminal, another look would want another Ctrl-D
            break
    return bytes(body)


def _lines(source: BinaryIO, max_bytes: int) -> Iterator[bytes]:
    # As much as a line may have, with its end: what is cut there is too long in any case.
    lines = iter(lambda: source.readline(max_bytes + len(b"\r\n")), b"")
    for number, line in enumerate(lines, 1):
        body = line.removesuffix(b"\n").removesuffix(b"\r")
        yield _checked(f"line {number} of the input", body, max_bytes)


def _checked(name: str, body: bytes, max_bytes: int) -> bytes:
    """Refuse what the server would refuse, before it is all read, let alone sent."""
    if len(body) > max_bytes:
        raise CommandError(f"{name} is longer than the {max_bytes} bytes that this server takes")
    return body


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise CommandError("standard input is closed; give a BODY, or something to read")
    if sys.stdin.isatty():
        tell("Type the body; Ctrl-D at the start of a line ends it.")
    return sys.stdin.buffer
