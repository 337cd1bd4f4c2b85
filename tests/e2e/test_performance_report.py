"""The whole report, with a handful of commands: what it measures, keeps and shows."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import figures_performance, performance, scaling
from benchmarks.cases import Case
from benchmarks.cores import choose_cores
from benchmarks.load import Load, build_load
from benchmarks.redis_peer import why_missing
from benchmarks.scaling import POINTS, Point, factor_per_tenfold
from benchmarks.servers import BEANROW_COMMAND, Contender, ask_stats
from tests.peers import require_peer

#: Real servers, and nothing in it that differs between the builds.
pytestmark = pytest.mark.any_build

TINY = ["--rounds", "1", "--seconds", "0.02"]


# --- how the cost grows -------------------------------------------------------------------------


@pytest.fixture
def load() -> Load:
    require_peer("cc")
    return Load(build_load(), choose_cores())


def test_a_server_is_filled_for_its_point(load: Load) -> None:
    point = Point("jobs", 1_500, Case("", "cycle", connections=2, tubes=20), jobs=1_500)
    with scaling._filled(Contender("beanrow", BEANROW_COMMAND), load, point) as server:
        facts = ask_stats(server.port)
    assert facts["current-jobs-ready"] == "1500"
    assert facts["current-jobs-delayed"] == "20"


def test_the_command_measures_points_of_all_curves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_peer("beanstalkd")
    require_peer("cc")
    file = tmp_path / "result.json"
    names = ["jobs-1000", "jobs-10000", "tubes-10", "connections-10", "body-1048576"]
    assert scaling.main(["--cases", ",".join(names), *TINY, "--json", str(file)]) == 0
    printed = capsys.readouterr()
    assert "[5/5] body-1048576" in printed.err
    assert "ten times the jobs" in printed.out
    points = json.loads(file.read_text())["points"]
    assert [point["case"]["name"] for point in points] == names
    for point in points:
        assert point["rate_ratio"] > 0
        for side in ("baseline", "candidate"):
            assert [one["commands"] > 0 for one in point[side]] == [True]


def test_a_baseline_that_cannot_keep_up_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require_peer("beanstalkd")
    require_peer("cc")
    alone = Point("tubes", 7, Case("tubes-7", "cycle", 2, tubes=7), is_for_both=False)
    monkeypatch.setattr(scaling, "POINTS", (alone,))
    file = tmp_path / "result.json"
    assert scaling.main([*TINY, "--json", str(file)]) == 0
    assert "tubes-7" in capsys.readouterr().out
    (point,) = json.loads(file.read_text())["points"]
    assert point["baseline"] == []
    assert point["rate_ratio"] is None
    assert len(point["candidate"]) == 1


def test_the_longest_points_have_to_be_asked_for() -> None:
    usual, all_of_them = (scaling.choose("jobs-*", long=long) for long in (False, True))
    assert max(point.jobs for point in usual) == 1_000_000
    assert max(point.jobs for point in all_of_them) == 10_000_000


def test_points_have_names_of_their_own() -> None:
    assert len({point.case.name for point in POINTS}) == len(POINTS)


@pytest.mark.parametrize(
    ("last", "factor"),
    [((100_000, 1.0), 1.0), ((100_000, 100.0), 10.0), ((10_000, 2.0), 2.0)],
)
def test_steepness_is_told_by_ten_times_the_size(last: tuple[int, float], factor: float) -> None:
    assert factor_per_tenfold((1_000, 1.0), last) == pytest.approx(factor)


# --- the report ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A report of real servers, as short as it can be."""
    require_peer("beanstalkd")
    require_peer("cc")
    file = tmp_path_factory.mktemp("report") / "report.json"
    points = "jobs-1000,jobs-10000,tubes-10,connections-10,body-10,body-100"
    words = ["--cases", "put-1,latency-half", "--points", points]
    words += ["--quick", "--memory-jobs", "2000"]
    assert performance.main([*words, *TINY, "--json", str(file)]) == 0
    made: dict[str, Any] = json.loads(file.read_text())
    return made


def test_the_report_has_every_part(report: dict[str, Any]) -> None:
    assert [case["name"] for case in report["rates"]["cases"]] == ["put-1", "latency-half"]
    assert {point["axis"] for point in report["scaling"]} == set(figures_performance.AXES)
    assert [one["jobs"] for one in report["memory"]["levels"]] == [2000, 2000, 500, 500]
    assert [case["policy"] for case in report["durable"]["cases"]] == ["-f 0", "-f 0"]
    if why_missing() is None:
        assert report["redis"]["run"]["baseline"]["version"][0].isdigit()
        assert len(report["redis"]["cases"]) == 4
    else:
        assert report["redis"] == {"missing": why_missing()}
    assert set(report) > {"made_at", "machine", "run", "brief", "took_s"}


def test_the_report_becomes_tables(report: dict[str, Any]) -> None:
    machine, rates, _, growth, latency, memory, collector, redis = figures_performance.tables(
        report
    )
    assert report["machine"]["kernel"] in machine
    assert "| `put-1` | put on 1 connection" in rates
    assert "`latency-half`" not in rates
    assert "| jobs in the tube | 1,000 |" in growth
    assert "jobs in the tube" in growth.splitlines()[-1]
    assert "tubes" not in growth.splitlines()[-1]  # one point is no curve
    assert latency.count("`latency-half`") == 3
    assert memory.count("| beanrow | 2,000 | 100 |") == 1
    assert "A job of 100 bytes takes" in memory
    assert "| no collector, as the server has it | interpreted | 2,000 | 0 |" in collector
    assert ("`cycle-pipelined`" in redis) == (why_missing() is None)


def test_what_is_slower_is_listed(report: dict[str, Any]) -> None:
    slow = json.loads(json.dumps(report))
    for case in slow["rates"]["cases"]:
        case["rate_ratio"], case["p99_ratio"] = 0.5, 2.0
    slow["scaling"][0]["rate_ratio"] = 0.25
    slow["memory"]["levels"][0]["bytes_per_job"] = 100.0
    slow["memory"]["levels"][1]["bytes_per_job"] = 150.0
    listed = figures_performance.tables(slow)[2]
    assert "`put-1`: 0.50 times beanstalkd's rate (" in listed
    assert "`latency-half`: 2.00 times beanstalkd's p99 (" in listed
    assert "`latency-half`: 0.50" not in listed
    assert "memory of each job, bodies of 100 bytes: 1.50 times beanstalkd's\n" in listed
    assert "the point `jobs-1000` of the curves: 0.25 times beanstalkd's rate (" in listed


def test_what_is_not_slower_is_not_listed(report: dict[str, Any]) -> None:
    fast = json.loads(json.dumps(report))
    for part in figures_performance.COMPARED:
        for case in fast[part].get("cases", ()):
            case["rate_ratio"], case["p99_ratio"] = 1.0, 1.0
    for one in fast["memory"]["levels"]:
        one.update(empty_bytes=1, bytes_per_job=1, emptied_bytes=1)
    for point in fast["scaling"]:
        point["rate_ratio"] = 1.0
    assert figures_performance.tables(fast)[2] == "In nothing that was measured.\n"


def test_what_the_program_warned_of_is_shown(report: dict[str, Any]) -> None:
    doubtful = {**report, "redis": {**report["redis"], "warnings": ["the moon was full"]}}
    assert "- the moon was full\n" in figures_performance.tables(doubtful)[0]


def test_the_report_becomes_pictures(report: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `bench` is not installed")
    from benchmarks import plots_performance

    plots_performance.draw(report, tmp_path)
    drawn = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert "put-1" in drawn["performance.svg"]
    assert "jobs in the tube" in drawn["performance-growth.svg"]
    assert "p99.9" in drawn["performance-latency.svg"]
    assert "1,024" in drawn["performance-memory.svg"]
    plots_performance.draw(report, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == drawn


def test_without_redis_the_report_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require_peer("beanstalkd")
    require_peer("cc")
    monkeypatch.setattr(performance, "why_missing", lambda: "no network")
    file = tmp_path / "report.json"
    assert performance.main(["--parts", "redis", *TINY, "--json", str(file)]) == 0
    assert "Redis is not measured: no network" in capsys.readouterr().err
    assert json.loads(file.read_text())["redis"] == {"missing": "no network"}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--parts", "rates,nonsense"], "no part is called 'nonsense'; there are rates, "),
        (["--keep", "--points", "jobs-*"], "--keep is for the whole report"),
        (["--keep", "--cases", "put-1"], "--keep is for the whole report"),
        (["--json", "/nowhere/x.json"], "--json: there is no folder /nowhere"),
        (["--keep"], "draws the pictures: .venv/bin/pip install -e"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_measured(
    words: list[str],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert performance.main(words) == 1
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
