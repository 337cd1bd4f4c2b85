"""The pictures of docs/performance.md."""

from pathlib import Path
from typing import Any

from benchmarks.bars import BARS
from benchmarks.figures_performance import (
    AXES,
    PERCENTILES,
    Report,
    cost_us,
    curves,
    judged,
    latencies_us,
    paced,
    spread,
)
from benchmarks.plots import BEANROW_COLOR, BEANSTALKD_COLOR, BOUND_COLOR, picture

SIDES = (
    ("baseline", "beanstalkd", BEANSTALKD_COLOR),
    ("candidate", "beanrow", BEANROW_COLOR),
)


def draw(report: Report, folder: Path) -> None:
    """All pictures of the page, into its folder."""
    height = 0.6 + 0.28 * len(judged(report))
    with picture(folder / "performance.svg", "Rates", (1,), height, width=9) as (axes,):
        _draw_ratios(axes, report)
    with picture(folder / "performance-growth.svg", "Costs", (1, 1, 1, 1), 3, width=12) as row:
        for axes, (axis, points) in zip(row, curves(report).items(), strict=False):
            _draw_curve(axes, axis, points)
        row[0].legend(frameon=False)
        row[0].set_ylabel("CPU of the server, µs a command")
    with picture(folder / "performance-latency.svg", "Latency", (1,), 3, width=5) as (axes,):
        _draw_latency(axes, report)


def _draw_ratios(axes: Any, report: Report) -> None:
    """A bar a case, from 1 to its ratio; a whisker for the spread, a stroke for what is asked."""
    cases = judged(report)[::-1]
    for place, case in enumerate(cases):
        ratio, (low, high) = case["rate_ratio"], spread(case)
        color = BEANROW_COLOR if ratio >= 1 else BEANSTALKD_COLOR
        axes.barh(place, ratio - 1, left=1, height=0.6, color=color)
        axes.plot([low, high], [place, place], color="black", linewidth=0.8)
        least = BARS[case["name"]].least
        axes.plot([least, least], [place - 0.4, place + 0.4], color=BOUND_COLOR, linewidth=1.5)
        axes.annotate(f"{ratio:.2f}", (max(high, least, 1), place), (5, -3), **_POINTS)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    ticks = [0.5, 1, 2, 5, 10, 20, 50]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(cases)), [case["name"] for case in cases])
    axes.set_ylim(-0.6, len(cases) - 0.4)
    axes.margins(x=0.12)
    axes.set_xlabel("beanrow's rate / beanstalkd's; the red strokes are what is asked for")


_POINTS: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8}

#: Where the two differ by so much that one would be flat on the ground.
LOGARITHMIC = ("tubes", "body")


def _draw_curve(axes: Any, axis: str, points: list[dict[str, Any]]) -> None:
    for side, label, color in SIDES:
        measured = [(one["size"], cost_us(one, side)) for one in points if one[side]]
        sizes, costs = [size for size, _ in measured], [cost for _, cost in measured]
        axes.plot(sizes, costs, marker="o", markersize=4, color=color, label=label)
    axes.set_xscale("log")
    if axis in LOGARITHMIC:
        _scale_with_plain_numbers(axes)
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(AXES[axis])


def _scale_with_plain_numbers(axes: Any) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.yaxis.set_minor_formatter("")


def _draw_latency(axes: Any, report: Report) -> None:
    case = paced(report)[0]
    for side, label, color in SIDES:
        axes.plot(
            list(PERCENTILES.values()),
            latencies_us(case, side),
            marker="o",
            markersize=4,
            color=color,
            label=label,
        )
    _scale_with_plain_numbers(axes)
    axes.set_ylabel("µs from when it was due to the reply")
    axes.set_title("at half of beanstalkd's highest rate")
    axes.legend(frameon=False)
