"""`beanrow serve`: run a server.

`beanrowd` is the same behind beanstalkd's own command line. Only these two commands import the
server, and this one not before it is run.
"""

import argparse
from typing import TYPE_CHECKING, Final

from beanrow.build import VERSION_LINE
from beanrow.cli.common import Parser, add_command
from beanrow.cli.ending import FAILED, MISUSED, tell

if TYPE_CHECKING:
    from beanrow.cli.common import Commands

DESCRIPTION: Final = """\
Run a beanrow server: a work queue that every beanstalk client can use.

Jobs are kept in memory, and with -b in a journal on disk as well, from which they come back after a
restart or a crash. The server listens on this machine only unless -l says otherwise, and it
has no authentication: whoever can connect can put, reserve and delete jobs.

The short options are those of beanstalkd.
"""

EXAMPLES: Final = """\
  beanrow serve                                  on 127.0.0.1:11300
  beanrow serve -b /var/lib/beanrow              jobs outlive the server
  beanrow serve -b data -f 0                     and every reply is the truth after a power failure
  beanrow serve -p 11301 -V                      another port, and say who connects
  beanrow serve -l 127.0.0.1 -l ::1              IPv4 and IPv6
  beanrow serve -l unix:/run/beanrow.sock        a socket file
  beanrow serve -l 0.0.0.0 -u nobody --log-format json

signals:
  SIGTERM, SIGINT   stop: no more clients, the last replies are sent, exit status 0
  SIGINT again      stop at once
  SIGUSR1           drain: answer DRAINING to every put, so that workers can empty the queue
  SIGUSR2           end draining
"""


def add_parser(commands: "Commands") -> Parser:
    """Say what the command line may contain."""
    parser = add_command(commands, "serve", "run a server", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "-l",
        "--listen",
        metavar="ADDRESS",
        action="append",
        help="a host name, an IPv4 or IPv6 address, or unix:PATH; may be repeated "
        "(default: 127.0.0.1)",
    )
    parser.add_argument(
        "-p",
        "--port",
        help="a port number or the name of a service; 0 lets the system choose (default: 11300)",
    )
    parser.add_argument("-u", "--user", help="become this user once the sockets are open")
    parser.add_argument(
        "-z",
        "--max-job-size",
        metavar="BYTES",
        help="the largest body of a job (default: 65535, at most 1073741824)",
    )
    parser.add_argument(
        "-V",
        "--verbose",
        action="count",
        default=0,
        help="say more: connections that open and close",
    )
    parser.add_argument(
        "--log-format",
        metavar="FORMAT",
        help="text, one line for people (default), or json, one object a line",
    )
    parser.add_argument("-v", "--version", action="version", version=VERSION_LINE)
    _add_journal_options(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    from beanrow.server.config import Config, Options
    from beanrow.server.errors import ConfigError, StartError
    from beanrow.server.run import run as run_server

    options = Options(
        listen=tuple(args.listen or ["127.0.0.1"]),
        port=args.port,
        user=args.user,
        max_job_size=args.max_job_size,
        verbosity=args.verbose,
        log_format=args.log_format,
        journal=args.journal,
        fsync=tuple(args.fsync),
        segment_size=args.segment_size,
        obsolete=tuple(args.obsolete),
    )
    try:
        return run_server(Config.from_options(options))
    except StartError as error:
        tell(f"{args.prog}: {error}")
        return MISUSED if isinstance(error, ConfigError) else FAILED


def _add_journal_options(parser: Parser) -> None:
    journal = parser.add_argument_group(
        "journal", "The last of -f and -F counts; without -b they have no effect, nor has -s."
    )
    journal.add_argument(
        "-b",
        "--journal",
        metavar="DIRECTORY",
        help="keep every change of the queue there; it is made if need be",
    )
    journal.add_argument(
        "-f",
        "--fsync-interval",
        metavar="MS",
        dest="fsync",
        action="append",
        default=[],
        help="sync to the disk at most once in so many milliseconds (default: 50); with 0, no "
        "reply leaves before what it acknowledges is on the disk",
    )
    journal.add_argument(
        "-F",
        "--never-fsync",
        dest="fsync",
        action="append_const",
        const=None,
        help="never sync, leave that to the system",
    )
    journal.add_argument(
        "-s",
        "--segment-size",
        metavar="BYTES",
        help="the size of one file (default: 10485760; the other commands' -s, for --server, is "
        "not beanstalkd's)",
    )
    for flag in ("-c", "-n"):
        parser.add_argument(
            flag,
            dest="obsolete",
            action="append_const",
            const=flag,
            default=[],
            help=argparse.SUPPRESS,
        )
