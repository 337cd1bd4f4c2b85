"""The results for people, as a table, and for programs, as JSON."""

import dataclasses
from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.compare import CaseResult
from benchmarks.load import Measurement

BUSY = 0.9  # of a core: from here on a process is what limits the rate
STARVED = 0.75  # of a core: a server below this, with work waiting, did not get its core
MANY_IN_FLIGHT = 50
KEPT_UP = 0.98  # of a given rate

LEGEND = """\
rate       thousands of commands a second, median of the rounds
server µs  CPU time of the server per command, user and system, median of the rounds
p50, p99   µs from sending a command to reading its reply, median of the rounds; in a case with a
           given rate: from the moment when it was due
ratio      {candidate} / {baseline} of each round: median (lowest to highest)
           rate above 1: {candidate} is faster; CPU below 1: {candidate} uses less; p99, in cases
           with a given rate, below 1: {candidate} keeps its clients waiting for less long"""


def table(results: Sequence[CaseResult], baseline: str, candidate: str) -> str:
    """Lay the results out in columns, followed by how to read them."""
    titles = ["case", "server", "rate", "server µs", "p50", "p99", "rate ratio", "CPU ratio"]
    titles.append("p99 ratio")
    rows: list[list[str]] = []
    for result in results:
        is_paced = result.case.is_paced
        ratios = [
            "" if is_paced else _spread(result.rate_ratios),
            _spread(result.cpu_ratios),
            _spread(result.p99_ratios) if is_paced else "",
        ]
        rows.append([result.case.name, *_cells(baseline, result.baseline), "", "", ""])
        rows.append(["", *_cells(candidate, result.candidate), *ratios])
    widths = [max(len(cell) for cell in column) for column in zip(titles, *rows, strict=True)]
    lines = [_line(titles, widths), "  ".join("-" * width for width in widths)]
    lines += [_line(row, widths) for row in rows]
    return "\n".join([*lines, "", LEGEND.format(baseline=baseline, candidate=candidate)])


def _cells(name: str, one: Measurement) -> list[str]:
    return [
        name,
        f"{one.commands_per_s / 1e3:.1f}",
        f"{one.server_us_per_command:.2f}",
        f"{one.p50_us:,.0f}",
        f"{one.p99_us:,.0f}",
    ]


def _spread(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    names = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "  ".join(names + numbers).rstrip()


def warnings(results: Sequence[CaseResult], baseline: str, candidate: str) -> list[str]:
    """Name the runs whose numbers say less about the server than they seem to."""
    limited: list[str] = []
    starved: list[str] = []
    late: list[str] = []
    behind: list[str] = []
    for result in results:
        for name, one in ((baseline, result.baseline), (candidate, result.candidate)):
            where = f"{result.case.name} of {name}"
            if result.case.is_paced:
                if one.load_was_late:
                    late.append(f"{where} ({one.late_p99_us:,.0f} µs at p99)")
                elif one.commands_per_s < KEPT_UP * (result.case.rate or 0.0):
                    behind.append(f"{where} ({one.commands_per_s:,.0f}/s)")
            elif one.load_busy > BUSY and one.server_busy < BUSY:
                limited.append(f"{where} ({one.load_busy:.0%})")
            elif (
                result.case.in_flight >= MANY_IN_FLIGHT
                and result.case.policy is None  # else the disk may be what it waits for
                and one.server_busy < STARVED
            ):
                starved.append(f"{where} ({one.server_busy:.0%})")
    doubts = {
        "the load generator was at the limit of its core, the server was not; their rates "
        "are the generator's, only the CPU per command counts": limited,
        "work was waiting, but the server did not get its core, so other programs are busy "
        "on this machine; trust the CPU per command more": starved,
        "the load generator did not send when it should have, so other programs are busy on this "
        "machine; these latencies are not the server's": late,
        "the server did not reach the rate that it was given": behind,
    }
    return [f"{doubt}: {', '.join(found)}" for doubt, found in doubts.items() if found]


def as_json(
    results: Sequence[CaseResult], machine: dict[str, str], run: dict[str, Any]
) -> dict[str, Any]:
    """Give every number of every round; times in seconds unless the name says otherwise."""
    return {"machine": machine, "run": run, "cases": [_case_as_json(result) for result in results]}


def _case_as_json(result: CaseResult) -> dict[str, Any]:
    return {
        **dataclasses.asdict(result.case),
        "units": result.units,
        "rate_ratio": median(result.rate_ratios),
        "cpu_ratio": median(result.cpu_ratios),
        "p99_ratio": median(result.p99_ratios),
        "rounds": [
            {
                "baseline": _measurement_as_json(one.baseline),
                "candidate": _measurement_as_json(one.candidate),
                "rate_ratio": one.rate_ratio,
                "cpu_ratio": one.cpu_ratio,
                "p99_ratio": one.p99_ratio,
            }
            for one in result.rounds
        ],
    }


def _measurement_as_json(measurement: Measurement) -> dict[str, float]:
    return {
        **dataclasses.asdict(measurement),
        "commands_per_s": measurement.commands_per_s,
        "server_us_per_command": measurement.server_us_per_command,
    }
