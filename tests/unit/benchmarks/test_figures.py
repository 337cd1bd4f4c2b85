"""The figures in the docs are those that were measured, and nobody has touched them since."""

import pytest

from benchmarks import figures_durability, figures_performance
from benchmarks.figures import BEGIN, DOCS, END, with_tables
from benchmarks.kept import read


def test_the_page_of_durability_shows_the_results_that_are_kept() -> None:
    page = (DOCS / "durability.md").read_text()
    assert page.count(BEGIN) == page.count(END) == 1
    tables = [figures_durability.tables(read("durability"), read("churn"))]
    assert with_tables(page, tables) == page


def test_the_page_of_performance_shows_the_results_that_are_kept() -> None:
    page = (DOCS / "performance.md").read_text()
    assert with_tables(page, figures_performance.tables(read("performance"))) == page


def test_tables_take_the_place_of_older_ones() -> None:
    page = f"one\n{BEGIN}old figures\n{END}two\n{BEGIN}{END}three\n"
    written = with_tables(page, ["1\n", "2\n"])
    assert written == f"one\n{BEGIN}\n1\n\n{END}two\n{BEGIN}\n2\n\n{END}three\n"
    assert with_tables(written, ["1\n", "2\n"]) == written


@pytest.mark.parametrize("tables", [[], ["1\n", "2\n"]])
def test_every_table_needs_a_place_and_every_place_a_table(tables: list[str]) -> None:
    with pytest.raises(ValueError, match=r"zip\(\)"):
        with_tables(f"one\n{BEGIN}{END}two\n", tables)


def test_a_place_needs_an_end() -> None:
    with pytest.raises(ValueError, match="has no end"):
        with_tables(f"one\n{BEGIN}two\n", ["1\n"])
