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

LEGEND = """\
rate       thousands of commands a second, median of the rounds
server µs  CPU time of the server per command, user and system, median of the rounds
p50, p99   µs from sending a command to reading its reply, median of the rounds
ratio      {candidate} / {baseline} of each round: median (lowest to highest)
           rate above 1: {candidate} is faster; CPU below 1: {candidate} uses less"""


def table(results: Sequence[CaseResult], baseline: str, candidate: str) -> str:
    """Lay the results out in columns, followed by how to read them."""
    titles = ["case", "server", "rate", "server µs", "p50", "p99", "rate ratio", "CPU ratio"]
    rows: list[list[str]] = []
    for result in results:
        rows.append([result.case.name, *_cells(baseline, result.baseline), "", ""])
        ratios = [_spread(result.rate_ratios), _spread(result.cpu_ratios)]
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
    for result in results:
        for name, one in ((baseline, result.baseline), (candidate, result.candidate)):
            if one.load_busy > BUSY and one.server_busy < BUSY:
                limited.append(f"{result.case.name} of {name} ({one.load_busy:.0%})")
            elif (
                result.case.in_flight >= MANY_IN_FLIGHT
                and result.case.policy is None  # else the disk may be what it waits for
                and one.server_busy < STARVED
            ):
                starved.append(f"{result.case.name} of {name} ({one.server_busy:.0%})")
    found = []
    if limited:
        found.append(
            "the load generator was at the limit of its core, the server was not; their rates "
            "are the generator's, only the CPU per command counts: " + ", ".join(limited)
        )
    if starved:
        found.append(
            "work was waiting, but the server did not get its core, so other programs are busy "
            "on this machine; trust the CPU per command more: " + ", ".join(starved)
        )
    return found


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
        "rounds": [
            {
                "baseline": _measurement_as_json(one.baseline),
                "candidate": _measurement_as_json(one.candidate),
                "rate_ratio": one.rate_ratio,
                "cpu_ratio": one.cpu_ratio,
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
