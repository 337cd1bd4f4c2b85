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
    latencies_us,
    levels,
    paced,
    spread,
    unpaced,
)
from benchmarks.plots import BEANROW_COLOR, BEANSTALKD_COLOR, BOUND_COLOR, picture

SIDES = (
    ("baseline", "beanstalkd", BEANSTALKD_COLOR),
    ("candidate", "beanrow", BEANROW_COLOR),
)


def draw(report: Report, folder: Path) -> None:
    """All pictures of the page, into its folder."""
    height = 0.6 + 0.28 * len(unpaced(report))
    with picture(folder / "performance.svg", "Rates", (1,), height, width=9) as (axes,):
        _draw_ratios(axes, report)
    with picture(folder / "performance-growth.svg", "Costs", (1, 1, 1, 1), 3, width=12) as row:
        for axes, (axis, points) in zip(row, curves(report).items(), strict=False):
            _draw_curve(axes, axis, points)
        row[0].legend(frameon=False)
        row[0].set_ylabel("CPU of the server, µs a command")
    with picture(folder / "performance-latency.svg", "Latency", (1,), 3, width=5) as (axes,):
        _draw_latency(axes, report)
    with picture(folder / "performance-memory.svg", "Memory", (1, 1.5), 3, width=9) as row:
        _draw_jobs(row[0], report)
        _draw_levels(row[1], report)


def _draw_ratios(axes: Any, report: Report) -> None:
    """A bar a case, from 1 to its ratio; a whisker for the spread, a stroke for what is asked."""
    cases = unpaced(report)[::-1]
    for place, case in enumerate(cases):
        ratio, (low, high) = case["rate_ratio"], spread(case)
        color = BEANROW_COLOR if ratio >= 1 else BEANSTALKD_COLOR
        axes.barh(place, ratio - 1, left=1, height=0.6, color=color)
        axes.plot([low, high], [place, place], color="black", linewidth=0.8)
        edge = max(high, 1)
        if bar := BARS.get(case["name"]):
            stroke = [place - 0.4, place + 0.4]
            axes.plot([bar.least, bar.least], stroke, color=BOUND_COLOR, linewidth=1.5)
            edge = max(edge, bar.least)
        axes.annotate(f"{ratio:.2f}", (edge, place), (5, -3), **_POINTS)
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


def _draw_jobs(axes: Any, report: Report) -> None:
    pairs = levels(report)
    for side, (_, label, color) in enumerate(SIDES):
        places = [place + 0.4 * side - 0.2 for place in range(len(pairs))]
        sizes = [pair[side]["bytes_per_job"] for pair in pairs]
        bars = axes.bar(places, sizes, 0.38, color=color, label=label)
        axes.bar_label(bars, fmt="%.0f", padding=2)
    axes.set_xticks(range(len(pairs)), [f"{pair[0]['body_bytes']:,}" for pair in pairs])
    axes.set_xlabel("bytes of each body")
    axes.set_ylabel("bytes in memory of each job")
    axes.legend(frameon=False)


def _draw_levels(axes: Any, report: Report) -> None:
    """Memory over time: jobs are put, stay for a moment, and are deleted."""
    pair = levels(report)[0]
    for one, (_, label, color) in zip(pair, SIDES, strict=True):
        seconds = [sample["seconds"] for sample in one["samples"]]
        held = [sample["bytes"] / 1e6 for sample in one["samples"]]
        axes.plot(seconds, held, color=color, label=label)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel("MB in memory")
    axes.set_title(f"{pair[0]['jobs']:,} jobs are put, then deleted", fontsize=9)
