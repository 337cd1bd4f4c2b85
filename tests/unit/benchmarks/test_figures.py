"""The figures in the docs are those that were measured, and nobody has touched them since."""

from benchmarks.figures import BEGIN, END, PAGE, read, tables, with_tables


def test_the_page_shows_the_results_that_are_kept() -> None:
    page = PAGE.read_text()
    assert page.count(BEGIN) == page.count(END) == 1
    assert with_tables(page, read("durability"), read("churn")) == page


def test_tables_take_the_place_of_older_ones() -> None:
    rates, churn = read("durability"), read("churn")
    page = f"before\n{BEGIN}old figures\n{END}behind\n"
    written = with_tables(page, rates, churn)
    assert written == f"before\n{BEGIN}\n{tables(rates, churn)}\n{END}behind\n"
    assert with_tables(written, rates, churn) == written
