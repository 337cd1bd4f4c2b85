"""What is asked of beanrow belongs to cases that are measured."""

import pytest

from benchmarks.bars import BARS, Bar
from benchmarks.cases import CASES, DURABILITY_CASES
from benchmarks.performance import DURABLE_CASES


def test_each_bar_is_that_of_a_case_in_the_report() -> None:
    assert set(BARS) <= {case.name for case in (*CASES, *DURABLE_CASES)}
    assert set(DURABLE_CASES) <= set(DURABILITY_CASES)


@pytest.mark.parametrize(
    ("bar", "ratio", "verdict"),
    [
        (Bar(1.05, 1.3), 1.04, "**missed**"),
        (Bar(1.05, 1.3), 1.05, "reached"),
        (Bar(1.05, 1.3), 1.3, "the goal"),
        (Bar(1.05), 9.0, "reached"),
    ],
)
def test_a_ratio_is_judged(bar: Bar, ratio: float, verdict: str) -> None:
    assert bar.verdict(ratio) == verdict
