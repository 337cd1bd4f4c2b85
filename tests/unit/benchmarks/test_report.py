"""What is derived from measurements, and when a result is doubted."""

import dataclasses

import pytest

from benchmarks.cases import CASES, Case, select
from benchmarks.compare import CaseResult, Round
from benchmarks.errors import BenchmarkError
from benchmarks.load import Measurement, typical
from benchmarks.report import as_json, table, warnings


def measurement(
    seconds: float = 1.0, *, server_cpu_s: float = 0.99, load_cpu_s: float = 0.5
) -> Measurement:
    return Measurement(
        commands=1000,
        seconds=seconds,
        p50_us=10,
        p90_us=15,
        p99_us=20,
        p999_us=30,
        max_us=40,
        missed=0,
        late_p99_us=0,
        load_cpu_s=load_cpu_s,
        server_cpu_s=server_cpu_s,
    )


def result(case: Case, *rounds: tuple[Measurement, Measurement]) -> CaseResult:
    return CaseResult(case, 1000, [Round(*one) for one in rounds])


MANY = Case("many", "put", connections=50)
ALONE = Case("alone", "put", connections=1)


def test_ratios_are_taken_within_a_round() -> None:
    one = Round(measurement(2.0, server_cpu_s=1.5), measurement(0.5, server_cpu_s=0.5))
    assert one.rate_ratio == 4
    assert one.cpu_ratio == pytest.approx(1 / 3)


def test_the_typical_measurement_is_the_median() -> None:
    assert typical([measurement(3), measurement(1), measurement(1.5)]).seconds == 1.5


def test_the_table_gives_median_and_spread() -> None:
    rounds = [(measurement(1.0), measurement(seconds)) for seconds in (0.5, 1.0, 0.25)]
    text = table([result(MANY, *rounds)], "old", "new")
    assert "2.00 (1.00 to 4.00)" in text
    assert "new / old" in text


def test_json_holds_every_round() -> None:
    document = as_json([result(MANY, (measurement(), measurement(0.5)))], {"cpu": "x"}, {})
    (case,) = document["cases"]
    assert case["rate_ratio"] == 2
    assert case["rounds"][0]["candidate"]["commands_per_s"] == 2000


def test_a_load_at_its_limit_is_pointed_out() -> None:
    limited = measurement(server_cpu_s=0.6, load_cpu_s=0.98)
    (warning,) = warnings([result(MANY, (measurement(), limited))], "old", "new")
    assert warning.startswith("the load generator was at the limit")
    assert warning.endswith(": many of new (98%)")


def test_a_server_that_did_not_get_its_core_is_pointed_out() -> None:
    starved = measurement(server_cpu_s=0.4)
    (warning,) = warnings([result(MANY, (starved, starved))], "old", "new")
    assert warning.startswith("work was waiting")
    assert warning.endswith(": many of old (40%), many of new (40%)")


def test_no_doubt_where_the_server_is_the_limit_or_waits_for_its_only_client() -> None:
    idle = measurement(server_cpu_s=0.4)
    busy = measurement(load_cpu_s=0.95)
    assert warnings([result(MANY, (busy, busy)), result(ALONE, (idle, idle))], "old", "new") == []


def test_cases_are_selected_by_name_and_pattern() -> None:
    assert [case.name for case in select("put-*, cycle-1")] == [
        "put-1",
        "put-1-core",
        "put-50",
        "put-500",
        "put-5000",
        "cycle-1",
        "put-pipelined",
        "put-64k",
    ]
    assert select("*") == CASES
    with pytest.raises(BenchmarkError, match="no case is called 'x'"):
        select("put-1,x")


PACED = Case("paced", "cycle", connections=50, rate=1000.0, peak_part=0.5)


def test_at_a_given_rate_the_latencies_are_compared() -> None:
    slow = dataclasses.replace(measurement(), p99_us=60)
    text = table([result(PACED, (measurement(), slow))], "old", "new")
    row = text.splitlines()[3].split("  ")
    assert row[-1] == "3.00 (3.00 to 3.00)"
    assert text.count("3.00 (3.00 to 3.00)") == 1
    (case,) = as_json([result(PACED, (measurement(), slow))], {}, {})["cases"]
    assert (case["p99_ratio"], case["rate"]) == (3, 1000)


def test_at_a_given_rate_a_late_generator_and_a_slow_server_are_pointed_out() -> None:
    spinning = measurement(server_cpu_s=0.4, load_cpu_s=1.0)
    assert warnings([result(PACED, (spinning, spinning))], "old", "new") == []
    late, slow = dataclasses.replace(spinning, late_p99_us=15), measurement(1.1)
    first, second = warnings([result(PACED, (late, slow))], "old", "new")
    assert first.startswith("the load generator did not send when it should")
    assert first.endswith(": paced of old (15 µs at p99)")
    assert second.endswith("that it was given: paced of new (909/s)")
