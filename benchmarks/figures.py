"""Brings what was measured into the docs: `python -m benchmarks.figures`.

From the JSON in `results/`, which the commands named in the pages have written, come their tables
and the pictures beside them. The pictures need matplotlib: `.venv/bin/pip install -e '.[bench]'`.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks import figures_durability, figures_performance, plots_performance
from benchmarks.kept import read
from benchmarks.servers import CHECKOUT

DOCS = CHECKOUT / "docs"

BEGIN = "<!-- From here on written by `python -m benchmarks.figures`. -->\n"
END = "<!-- To here. -->\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures", description=__doc__)
    parser.add_argument("--no-pictures", action="store_true", help="only the tables")
    options = parser.parse_args(arguments)
    rates, churn = read("durability"), read("churn")
    page = DOCS / "durability.md"
    page.write_text(with_tables(page.read_text(), [figures_durability.tables(rates, churn)]))
    report = read("performance")
    page = DOCS / "performance.md"
    page.write_text(with_tables(page.read_text(), figures_performance.tables(report)))
    if not options.no_pictures:
        figures_durability.draw(rates, churn, DOCS / "durability.svg")
        plots_performance.draw(report, DOCS)
    return 0


def with_tables(page: str, tables: Sequence[str]) -> str:
    """The page, with what stands between each two marks written anew, in this order.

    Raises ValueError when the page has another number of places for tables.
    """
    before, *places = page.split(BEGIN)
    written = [before]
    for table, place in zip(tables, places, strict=True):
        _, end, after = place.partition(END)
        if not end:
            raise ValueError(f"a place for a table has no end, {END.strip()!r}")
        written.append(f"{BEGIN}\n{table}\n{END}{after}")
    return "".join(written)


if __name__ == "__main__":
    sys.exit(main())
