"""`beanrowd`: the server behind beanstalkd's own command line, to put in its place.

The options are read as getopt does: -p11300 and -VV work. The other command, `beanrow serve`,
has the same options with long names beside them, and listens on this machine only.
"""

import getopt
import sys
from collections.abc import Sequence
from typing import Final

from beanrow.build import VERSION_LINE
from beanrow.cli.ending import run_to_end, tell
from beanrow.server.config import Config, Options
from beanrow.server.errors import ConfigError, StartError

_HELP: Final = """\
Usage: beanrowd [OPTIONS]

Serve the beanstalk protocol until SIGTERM. The options are beanstalkd's.

 -l ADDR   listen on this address: a host name, an IPv4 or IPv6 address, or unix:PATH
           (default 0.0.0.0, which is everywhere, without authentication); may be repeated
 -p PORT   listen on this port, a number or the name of a service (default 11300)
 -u USER   become this user, and its groups, once the sockets are open
 -z BYTES  take jobs of at most this size (default 65535, at most 1073741824)
 -b DIR    keep all jobs in a journal in this directory, which is made if need be
 -f MS     sync the journal to the disk at most once in so many milliseconds (default 50);
           with 0, no reply leaves before what it acknowledges is on the disk
 -F        never sync the journal, leave that to the system; the last of -f and -F counts
 -s BYTES  the size of one file of the journal (default 10485760)
 -V        say more: connections that open and close
 -v        print the version and exit
 -h        print this help and exit
 --log-format text|json
           one line for people (the default), or one JSON object, for each event

-f, -F and -s have no effect without -b; -c and -n are accepted and ignored.
SIGTERM and SIGINT stop the server, SIGUSR1 makes it refuse new jobs, SIGUSR2 ends that.
"""

_SHORT: Final = "b:f:Fl:p:s:u:z:Vvhcn"
_LONG: Final = ("log-format=", "help", "version")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run_to_end("beanrowd", lambda: _main(sys.argv[1:] if argv is None else argv))


def _main(argv: Sequence[str]) -> int:
    try:
        flags = _read(argv)
        for flag, _ in flags:
            if flag in ("-h", "--help"):
                print(_HELP, end="")
                return 0
            if flag in ("-v", "--version"):
                print(VERSION_LINE)
                return 0
        from beanrow.server.run import run  # here, where Ctrl-C is seen to

        return run(Config.from_options(_options(flags)))
    except StartError as error:
        tell(f"beanrowd: {error}")
        return error.exit_status


def _read(argv: Sequence[str]) -> list[tuple[str, str]]:
    try:
        flags, rest = getopt.getopt(list(argv), _SHORT, list(_LONG))
    except getopt.GetoptError as error:
        raise ConfigError(f"{error.msg}; beanrowd -h lists the options") from None
    if rest:
        raise ConfigError(f"unknown argument: {rest[0]}; beanrowd -h lists the options")
    return flags


def _options(flags: Sequence[tuple[str, str]]) -> Options:
    """What was given; of an option given twice, the last counts."""
    last = dict(flags)
    return Options(
        listen=tuple(value for flag, value in flags if flag == "-l") or ("0.0.0.0",),
        port=last.get("-p"),
        user=last.get("-u"),
        max_job_size=last.get("-z"),
        verbosity=sum(flag == "-V" for flag, _ in flags),
        log_format=last.get("--log-format"),
        journal=last.get("-b"),
        fsync=tuple(
            None if flag == "-F" else value for flag, value in flags if flag in ("-f", "-F")
        ),
        segment_size=last.get("-s"),
        obsolete=tuple(flag for flag in ("-c", "-n") if flag in last),
    )


if __name__ == "__main__":
    sys.exit(main())
