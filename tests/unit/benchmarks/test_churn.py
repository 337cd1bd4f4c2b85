"""What is kept of the many sizes that a churning journal had."""

from itertools import pairwise

from benchmarks.churn import KEPT_SAMPLES, ChurnResult, Sample


def result_of(*sizes: int, bound_bytes: int = 100) -> ChurnResult:
    result = ChurnResult("beanrow", cycles=len(sizes), bound_bytes=bound_bytes)
    for number, size in enumerate(sizes):
        result.add(Sample(seconds=number / 20, deletes=number, bytes=size))
    return result


def test_the_worst_size_is_kept_with_its_moment() -> None:
    result = result_of(10, 99, 20)
    assert (result.worst.deletes, result.worst.bytes) == (1, 99)
    assert result.is_within_bound


def test_the_bound_itself_is_too_much() -> None:
    assert not result_of(10, 100, 20).is_within_bound


def test_many_samples_are_thinned_evenly_and_peaks_stay() -> None:
    sizes = [10] * (20 * KEPT_SAMPLES)
    sizes[777] = 99
    result = result_of(*sizes)
    assert KEPT_SAMPLES <= len(result.samples) < 2 * KEPT_SAMPLES
    assert [one.deletes for one in result.samples if one.bytes == 99] == [777]
    moments = [one.deletes for one in result.samples]
    widths = [later - earlier for earlier, later in pairwise(moments)]
    assert min(widths) > 0
    assert max(widths) < 3 * 20
