"""The results that are kept in `results/`, and what is typical in them."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).with_name("results")

#: With more than this at the start, others were busy on the machine.
CALM_LOAD = 0.5


def read(name: str) -> dict[str, Any]:
    """One file of results."""
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return result


def typical(case: dict[str, Any], side: str) -> tuple[float, float]:
    """The median rate, and the median CPU time of a command in microseconds."""
    rounds = [one[side] for one in case["rounds"]]
    return middle(rounds, "commands_per_s"), middle(rounds, "server_us_per_command")


def middle(rounds: Sequence[dict[str, Any]], what: str) -> float:
    """The median of one value over the rounds of one server."""
    return float(median(one[what] for one in rounds))


def disturbance(machine: dict[str, str]) -> str:
    """A sentence for readers of figures that come from a busy machine; else nothing."""
    load = float(machine["load_average"])
    if load <= CALM_LOAD:
        return ""
    return (
        f" The machine was not alone with this (load average at the start {load:g}): the ratios "
        "and the CPU times count, the rates would be higher."
    )
