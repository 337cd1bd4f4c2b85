"""What the commands for people share: the way to the server, tables and JSON."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from beanrow.client import DEFAULT_PORT, Connection, Stats

if TYPE_CHECKING:  # argparse has this class, but does not publish its name
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

DEFAULT_SERVER: Final = f"127.0.0.1:{DEFAULT_PORT}"


def add_command(
    commands: "Commands", name: str, summary: str, description: str, examples: str
) -> argparse.ArgumentParser:
    """Add a command that talks to a server, with the options that all of them have."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "-s",
        "--server",
        metavar="ADDRESS",
        default=os.environ.get("BEANROW_SERVER", DEFAULT_SERVER),
        help="HOST:PORT, beanstalk://HOST:PORT or unix:PATH; now %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs to read")
    return parser


def connect(args: argparse.Namespace) -> Connection:
    """Connect to the server that the command line names."""
    return Connection(args.server)


def tell(message: str) -> None:
    """Say something to the person at the terminal, apart from the output."""
    print(message, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    print(json.dumps(value, ensure_ascii=False))


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
