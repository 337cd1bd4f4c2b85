"""What follows from the samples of memory, and what a person is told of it."""

import gc
from itertools import pairwise

import pytest

from beanrow.build import COMPILED
from benchmarks.memory import MemoryResults, table
from benchmarks.pauses import observe
from benchmarks.resident import KEPT_SAMPLES, Churn, Levels, Sample, thinned


def churn_of(*sizes: int) -> Churn:
    samples = [Sample(float(number), 10, size) for number, size in enumerate(sizes)]
    return Churn("beanrow", 100, depth=10, cycles=1000, seconds=5.0, samples=samples)


def test_growth_is_that_of_the_end_over_the_beginning() -> None:
    assert churn_of(100, 100, 150, 400, 150, 150, 150, 150, 110, 110).growth == pytest.approx(0.1)
    assert churn_of(*[70] * 20).growth == 0


def test_one_strange_sample_is_no_growth() -> None:
    sizes = [100] * 50
    sizes[-2] = 900
    assert churn_of(*sizes).growth == 0


def test_even_one_sample_will_do() -> None:
    assert churn_of(100).growth == 0


def test_samples_are_kept_at_even_distances() -> None:
    many = [Sample(float(number), 0, number) for number in range(10 * KEPT_SAMPLES)]
    kept = thinned(many)
    assert len(kept) == KEPT_SAMPLES
    assert (kept[0], kept[-1]) == (many[0], many[-1])
    distances = {after.bytes - before.bytes for before, after in pairwise(kept)}
    assert distances <= {10, 11}
    assert thinned(many[:7]) == many[:7]


def test_the_table_tells_what_a_job_costs_and_what_comes_back() -> None:
    level = Levels("beanrow", 100, 1000, 20_000_000, 20_300_000, 21_000_000, [])
    told = table(MemoryResults([level], [churn_of(10, 10)], []))
    assert "1,000 jobs of  100 bytes:    300 bytes each" in told
    assert "(1.05 times the empty server)" in told
    assert "1,000 jobs came and went in 5 s beside 10" in told


@pytest.mark.parametrize("mode", ["on", "frozen", "off"])
def test_the_collector_is_seen_at_work(mode: str) -> None:
    try:
        seen = observe(mode, 3000)
    finally:
        gc.unfreeze()
        gc.enable()
    # Compiled, jobs are nothing to it.
    assert (seen.collections > 0) == (mode != "off" and not COMPILED)
    assert (seen.longest_ms > 0) == (seen.collections > 0)
    assert seen.full_ms > 0
