"""The figures in the docs are those that were measured, and nobody has touched them since."""

import pytest

from benchmarks import figures_durability, figures_performance
from benchmarks.figures import BEGIN, DOCS, END, with_tables
from benchmarks.kept import disturbance, read, typical


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


def test_a_page_says_when_the_machine_was_not_alone() -> None:
    assert disturbance({"load_average": "0.50"}) == ""
    assert "load average at the start 0.51" in disturbance({"load_average": "0.51"})


def test_what_is_typical_is_the_median_of_the_rounds() -> None:
    rounds = [
        {"candidate": {"commands_per_s": rate, "server_us_per_command": cost}}
        for rate, cost in ((10, 3.0), (30, 1.0), (20, 8.0))
    ]
    assert typical({"rounds": rounds}, "candidate") == (20, 3.0)
