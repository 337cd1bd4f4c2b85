"""What the commands for people share: their command line, the way to the server, their output."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, NoReturn, TextIO

from beanrow.cli.ending import MISUSED
from beanrow.client import DEFAULT_PORT, Connection, Stats
from beanrow.errors import BeanrowError

DEFAULT_SERVER: Final = f"127.0.0.1:{DEFAULT_PORT}"


class CommandError(BeanrowError):
    """A command cannot do what it was asked for; the text says why."""


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line that names the command; argparse would print its usage too."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings
        )

    def parse_known_args(
        self, args: Iterable[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Refuse what is unknown in the name of the command that it was given to."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unknown: {shlex.join(unknown)}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, misuse(self.prog, message) + "\n")


if TYPE_CHECKING:  # argparse has this class, but does not publish its name
    Commands = argparse._SubParsersAction[Parser]  # noqa: SLF001


def add_command(
    commands: "Commands", name: str, summary: str, description: str, examples: str
) -> Parser:
    """Add a command without any options."""
    return commands.add_parser(
        name, help=summary, description=description, epilog=f"examples:\n{examples}"
    )


def add_client_command(
    commands: "Commands", name: str, summary: str, description: str, examples: str
) -> Parser:
    """Add a command that talks to a server, with the options that all of them have."""
    parser = add_command(commands, name, summary, description, examples)
    parser.add_argument(
        "-s",
        "--server",
        metavar="ADDRESS",
        default=os.environ.get("BEANROW_SERVER", DEFAULT_SERVER),
        help="HOST:PORT, beanstalk://HOST:PORT, or the path of a socket; now %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs to read")
    return parser


def connect(args: argparse.Namespace) -> Connection:
    """Connect to the server that the command line names.

    Raises CommandError if the answers could not be printed: a job might be deleted unseen.
    """
    if sys.stdout is None:
        raise CommandError("standard output is closed")
    return Connection(args.server)


def misuse(prog: str, message: str) -> str:
    """Word a mistake in a command line, with a way out."""
    return f"{prog}: {message}; see {prog} --help"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person is at the other end; a stream that was closed at the start is None."""
    return stream is not None and stream.isatty()


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, which is UTF-8 whatever else is printed in."""
    sys.stdout.flush()
    sys.stdout.buffer.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with aligned columns: the first to the left, the others, numbers, to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join(cells).rstrip())


def stats_document(stats: Stats) -> dict[str, Any]:
    """Turn stats back into the server's keys, in the server's order; unknown keys come last."""
    known = {
        field.name.replace("_", "-"): getattr(stats, field.name)
        for field in fields(stats)
        if field.name != "extra"
    }
    return {**known, **stats.extra}
