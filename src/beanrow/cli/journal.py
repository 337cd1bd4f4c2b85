"""`beanrow journal`: looks into the directory of a journal.

The only command for people that reads files of the server; it changes none of them.
"""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from beanrow.cli.common import CommandError, Parser, add_command, print_json, print_table
from beanrow.cli.ending import FAILED
from beanrow.cli.progress import Progress

if TYPE_CHECKING:
    from beanrow.cli.common import Commands
    from beanrow.journal.inspect import FileReport, Problem, Report

DESCRIPTION: Final = """\
Look into a journal: the directory that a server was given with -b, of beanrow or of beanstalkd.

Nothing is changed, and a server may run on the directory meanwhile. Run it as the user of that
server, for nobody else may read what is in there.
"""

EXAMPLES: Final = """\
  beanrow journal inspect /var/lib/beanrow     what is in it
  beanrow journal verify /var/lib/beanrow      whether all of it is sound
"""

INSPECT_DESCRIPTION: Final = """\
Show what a journal holds: its jobs by state, its files, and how much of these still counts.

  jobs         what a server that starts now would have: reserved jobs are ready again then, and
               delayed ones whose moment has come as well
  live bytes   what the records take of jobs that are there and tubes that are paused; all other
               records will be removed with their segments
  records      whole jobs; new states of jobs; deletes; pauses of tubes

DIRECTORY may be one of beanstalkd (-b): its binlog is shown as beanrow would take it over.
"""

INSPECT_EXAMPLES: Final = """\
  beanrow journal inspect /var/lib/beanrow
  beanrow journal inspect /var/lib/beanstalkd        before moving to beanrow
  beanrow journal inspect --json data | jq .live_bytes
"""

VERIFY_DESCRIPTION: Final = """\
Read every record of a journal and hold it against its checksum. What is not sound is told with its
file, its offset there, its length, and the jobs that it is known to be about.

A server that starts passes over what is damaged, keeps the damaged file in damaged/ below the
directory, and serves the rest. A binlog of beanstalkd has no checksums; what can be seen of damage
there is told.

Exit status: 0 all is sound, 1 something is not or cannot be read.
"""

VERIFY_EXAMPLES: Final = """\
  beanrow journal verify /var/lib/beanrow
  beanrow journal verify --json data | jq '.problems[].file'
"""

HEADINGS: Final = (
    "file",
    "bytes",
    "live bytes",
    "live jobs",
    "jobs",
    "states",
    "deletes",
    "pauses",
)


def add_parser(commands: "Commands") -> Parser:
    """Say what the command line may contain."""
    parser = add_command(commands, "journal", "look into a journal", DESCRIPTION, EXAMPLES)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, run_action, summary, description, examples in (
        ("inspect", inspect, "show what it holds", INSPECT_DESCRIPTION, INSPECT_EXAMPLES),
        ("verify", verify, "check every record", VERIFY_DESCRIPTION, VERIFY_EXAMPLES),
    ):
        action = add_command(actions, name, summary, description, examples)
        action.add_argument("--json", action="store_true", help="print JSON, for programs to read")
        action.add_argument("directory", type=Path, metavar="DIRECTORY", help="where it is")
        action.set_defaults(action=run_action, prog=action.prog)
    return parser


def run(args: argparse.Namespace) -> int:
    """Do what was asked for."""
    status: int = args.action(args)
    return status


def inspect(args: argparse.Namespace) -> int:
    """Print what there is; damage is told, and is no failure."""
    report = _examine(args.directory, "reading")
    if args.json:
        print_json(_document(report))
        return 0
    _print_summary(report)
    if report.files:
        print()
        print_table([HEADINGS, *map(_row, report.files)])
    _print_lines(report.notes)
    _print_lines([problem.text for problem in report.problems])
    return 0


def verify(args: argparse.Namespace) -> int:
    """Print what is not sound; then the status is 1."""
    report = _examine(args.directory, "checking")
    if args.json:
        document = {
            "directory": str(report.path),
            "kind": report.kind,
            "sound": not report.problems,
            "files": len(report.files),
            "records": report.records(),
            "bytes": sum(file.size for file in report.files),
            "problems": list(map(_problem_document, report.problems)),
        }
        print_json(document)
    else:
        for problem in report.problems:
            print(problem.text)
        checked = f"{report.records()} records in {_count(len(report.files), 'file')}"
        if report.problems:
            print(f"{_count(len(report.problems), 'problem')}; {checked} are sound")
        else:
            print(f"sound: {checked}")
    return FAILED if report.problems else 0


def _examine(path: Path, what: str) -> "Report":
    # Not at the top: the commands that talk to a server need none of this.
    from beanrow.journal.errors import JournalError
    from beanrow.journal.inspect import examine

    try:
        with Progress(what) as progress:
            return examine(path, progress.show)
    except JournalError as error:
        raise CommandError(str(error)) from error


# --- text ---------------------------------------------------------------------------------------


def _print_summary(report: "Report") -> None:
    jobs = ", ".join(f"{number} {state}" for state, number in report.jobs.items())
    rows = [
        ("journal of", report.kind + _version(report)),
        ("instance", report.instance),
        ("files", str(len(report.files))),
        ("live bytes", f"{report.live_bytes} of {report.total_bytes}{_share(report)}"),
        ("spare bytes", str(report.spare_bytes) if report.spare_bytes else ""),
        ("jobs", f"{sum(report.jobs.values())}: {jobs}"),
        ("oldest job", _job(report.oldest)),
        ("newest job", _job(report.newest)),
        ("last id", str(report.last_job_id)),
        ("paused tubes", str(report.paused_tubes) if report.paused_tubes else ""),
    ]
    for name, value in rows:
        if value:
            print(f"{name:14}{value}")


def _version(report: "Report") -> str:
    return "" if report.format_version is None else f", format {report.format_version}"


def _share(report: "Report") -> str:
    return f" ({report.live_bytes / report.total_bytes:.0%})" if report.total_bytes else ""


def _job(put: tuple[int, int] | None) -> str:
    return "" if put is None else f"{put[0]}, put {_time(put[1])}"


def _time(moment_ns: int) -> str:
    moment = datetime.fromtimestamp(moment_ns // 1_000_000_000, UTC)
    return moment.isoformat().replace("+00:00", "Z")


def _row(file: "FileReport") -> list[str]:
    # Of which file of a binlog a job counts is not looked for.
    live = (file.live_bytes, file.live_jobs) if file.is_segment else ("-", "-")
    numbers = (file.size, *live, file.jobs, file.states, file.deletes, file.pauses)
    return [file.name, *map(str, numbers)]


def _print_lines(lines: list[str]) -> None:
    if lines:
        print()
        for line in lines:
            print(line)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# --- JSON ---------------------------------------------------------------------------------------


def _document(report: "Report") -> dict[str, Any]:
    return {
        "directory": str(report.path),
        "kind": report.kind,
        "format": report.format_version,
        "instance": report.instance or None,
        "files": [
            {
                "name": file.name,
                "bytes": file.size,
                "live_bytes": file.live_bytes if file.is_segment else None,
                "live_jobs": file.live_jobs if file.is_segment else None,
                "records": {
                    "job": file.jobs,
                    "state": file.states,
                    "delete": file.deletes,
                    "pause": file.pauses,
                },
            }
            for file in report.files
        ],
        "live_bytes": report.live_bytes,
        "total_bytes": report.total_bytes,
        "spare_bytes": report.spare_bytes,
        "jobs": report.jobs,
        "oldest_job": _job_document(report.oldest),
        "newest_job": _job_document(report.newest),
        "last_job_id": report.last_job_id,
        "paused_tubes": report.paused_tubes,
        "notes": report.notes,
        "problems": list(map(_problem_document, report.problems)),
    }


def _job_document(put: tuple[int, int] | None) -> dict[str, Any] | None:
    return None if put is None else {"id": put[0], "put": _time(put[1])}


def _problem_document(problem: "Problem") -> dict[str, Any]:
    return {
        "file": problem.file,
        "offset": problem.offset,
        "bytes": problem.size,
        "reason": problem.reason,
        "jobs": problem.ids,
    }
