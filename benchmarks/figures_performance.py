"""The figures of docs/performance.md: its tables, in the order of the page."""

from collections.abc import Iterator
from dataclasses import fields
from itertools import groupby
from typing import Any

from benchmarks.bars import BARS, MOST_EMPTIED_RATIO, MOST_MEMORY_RATIO, MOST_P99_RATIO
from benchmarks.cases import Case
from benchmarks.kept import disturbance, middle, typical
from benchmarks.pauses import MODES
from benchmarks.scaling import factor_per_tenfold

Report = dict[str, Any]

#: The parts in which two servers are compared.
COMPARED = ("rates", "durable", "redis")


def tables(report: Report) -> list[str]:
    """All figures of the page, as Markdown."""
    return [
        _machine(report),
        _rates(report),
        _slower(report),
        _growth(report),
        _latency(report),
        _memory(report),
        _collector(report),
        _redis(report),
    ]


def _machine(report: Report) -> str:
    machine, run, brief = report["machine"], report["run"], report["brief"]
    redis = report["redis"]
    peer = f"Redis {redis['run']['baseline']['version']}, " if "run" in redis else ""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, {machine['python']}, "
        f"{machine['compiler']}; {run['baseline']['name']} {run['baseline']['version']}, {peer}"
        f"{run['candidate']['version']}; {run['rounds']} rounds of {run['seconds']:g} s for the "
        f"cases without a journal, {brief['rounds']} of {brief['seconds']:g} s for all else; "
        f"bodies of {run['body_bytes']} bytes where nothing else is said; {run['pinning']}. Made "
        f"on {report['made_at'][:10]}{_again(report)}.{disturbance(machine)}\n{_doubts(report)}"
    )


def _again(report: Report) -> str:
    """Which parts were measured once more, later than the others."""
    return "".join(
        f"; {part} again on {when[:10]}" for part, when in report.get("again", {}).items()
    )


def _doubts(report: Report) -> str:
    """What the program itself has said against its numbers."""
    doubts = [doubt for part in COMPARED for doubt in report[part].get("warnings", ())]
    lines = "".join(f"- {doubt}\n" for doubt in doubts)
    return f"\nWhat the program warned of:\n\n{lines}" if doubts else ""


def _table(titles: list[str], aligned: str, rows: list[list[str]]) -> str:
    """`aligned` has a letter for each column: l, or r for numbers."""
    marks = ["--:" if letter == "r" else "---" for letter in aligned]
    return "".join(f"| {' | '.join(row)} |\n" for row in [titles, marks, *rows])


def beside_beanstalkd(report: Report) -> list[dict[str, Any]]:
    """All cases, those with a journal last."""
    return [*report["rates"]["cases"], *report["durable"]["cases"]]


def paced(report: Report) -> list[dict[str, Any]]:
    """The cases whose rate was given, so that the latency is what tells."""
    return [case for case in report["rates"]["cases"] if case["peak_part"] is not None]


def meaning(case: dict[str, Any]) -> str:
    """A kept case in words."""
    known = {field.name for field in fields(Case)}
    return Case(**{name: value for name, value in case.items() if name in known}).meaning


# --- rates --------------------------------------------------------------------------------------


def unpaced(report: Report) -> list[dict[str, Any]]:
    """The cases in which the servers set the rate."""
    return [case for case in beside_beanstalkd(report) if case["peak_part"] is None]


def spread(case: dict[str, Any]) -> tuple[float, float]:
    """The lowest and the highest ratio of the rates in any round."""
    ratios = [one["rate_ratio"] for one in case["rounds"]]
    return min(ratios), max(ratios)


def _rates(report: Report) -> str:
    titles = ["case", "what", "beanstalkd, commands/s", "beanrow, commands/s", "ratio"]
    titles += ["lowest to highest", "asked for", "that is", "ratio of the CPU"]
    rows = []
    for case in unpaced(report):
        low, high = spread(case)
        rows.append(
            [
                f"`{case['name']}`",
                meaning(case),
                f"{typical(case, 'baseline')[0]:,.0f}",
                f"{typical(case, 'candidate')[0]:,.0f}",
                f"{case['rate_ratio']:.2f}",
                f"{low:.2f} to {high:.2f}",
                *_judged(case),
                f"{case['cpu_ratio']:.2f}",
            ]
        )
    return _table(titles, "llrrrrrlr", rows)


def _judged(case: dict[str, Any]) -> tuple[str, str]:
    """What is asked of a case, and what has come of it."""
    bar = BARS.get(case["name"])
    if bar is None:
        return "", ""
    goal = "" if bar.goal is None else f", goal {bar.goal:g}"
    return f"{bar.least:g}{goal}", bar.verdict(case["rate_ratio"])


def _slower(report: Report) -> str:
    """A list that is made, not written, so that nothing is left out of it."""
    lines = list(_losses(report))
    return "".join(f"- {line}\n" for line in lines) if lines else "In nothing that was measured.\n"


def _losses(report: Report) -> Iterator[str]:
    for case in beside_beanstalkd(report):
        if case["peak_part"] is None and _is_below_1(case["rate_ratio"]):
            yield _loss(f"`{case['name']}`", case["rate_ratio"], spread(case), "beanstalkd's rate")
        if case["peak_part"] is not None and case["p99_ratio"] > MOST_P99_RATIO:
            ratios = [one["p99_ratio"] for one in case["rounds"]]
            around = min(ratios), max(ratios)
            yield _loss(f"`{case['name']}`", case["p99_ratio"], around, "beanstalkd's p99")
    for point in report["scaling"]:
        if point["baseline"] and _is_below_1(point["rate_ratio"]):
            name = f"the point `{point['case']['name']}` of the curves"
            yield _loss(name, point["rate_ratio"], _spread_at(point), "beanstalkd's rate")
    yield from _memory_losses(report)
    for case in report["redis"].get("cases", ()):
        if _is_below_1(case["rate_ratio"]):
            yield _loss(f"`{case['name']}`", case["rate_ratio"], spread(case), "the rate of Redis")


def _is_below_1(ratio: float) -> bool:
    """Whether it is below 1 as it is shown."""
    return round(ratio, 2) < 1


def _memory_losses(report: Report) -> Iterator[str]:
    pairs = levels(report)
    empty = [one["empty_bytes"] for one in pairs[0]]
    if _is_below_1(empty[0] / empty[1]):
        yield f"memory of the empty server: {empty[1] / empty[0]:.2f} times beanstalkd's"
    for theirs, ours in pairs:
        for what, name in (("bytes_per_job", "each job"), ("emptied_bytes", "the emptied server")):
            if _is_below_1(theirs[what] / ours[what]):
                times = f"{ours[what] / theirs[what]:.2f} times beanstalkd's"
                yield f"memory of {name}, bodies of {ours['body_bytes']:,} bytes: {times}"


def _loss(name: str, ratio: float, around: tuple[float, float], what: str) -> str:
    return f"{name}: {ratio:.2f} times {what} ({around[0]:.2f} to {around[1]:.2f})"


# --- how the cost grows ---------------------------------------------------------------------------

AXES = {
    "jobs": "jobs in the tube",
    "tubes": "other tubes, each with a delayed job",
    "connections": "connections",
    "body": "bytes of each body",
}


def curves(report: Report) -> dict[str, list[dict[str, Any]]]:
    """The points of each curve."""
    points = groupby(report["scaling"], key=lambda point: point["axis"])
    return {axis: list(group) for axis, group in points}


def cost_us(point: dict[str, Any], side: str) -> float | None:
    """The server's CPU time for a command; None where it was not measured."""
    return middle(point[side], "server_us_per_command") if point[side] else None


def _spread_at(point: dict[str, Any]) -> tuple[float, float]:
    both = zip(point["baseline"], point["candidate"], strict=True)
    ratios = [ours["commands_per_s"] / theirs["commands_per_s"] for theirs, ours in both]
    return min(ratios), max(ratios)


def _growth(report: Report) -> str:
    rows = []
    for axis, points in curves(report).items():
        for point in points:
            theirs, ratio = cost_us(point, "baseline"), point["rate_ratio"]
            rows.append(
                [
                    AXES[axis],
                    f"{point['size']:,}",
                    "" if theirs is None else f"{theirs:.2f}",
                    f"{cost_us(point, 'candidate'):.2f}",
                    "" if ratio is None else f"{ratio:.2f}",
                ]
            )
    titles = ["what there is more of", "", "beanstalkd, CPU µs", "beanrow, CPU µs", "rate ratio"]
    return _table(titles, "lrrrr", rows) + "\n" + _steepness(report)


def _steepness(report: Report) -> str:
    factors = []
    for axis, points in curves(report).items():
        if len(points) == 1:
            continue
        ends = [(point["size"], cost_us(point, "candidate") or 0.0) for point in points]
        factors.append(f"{AXES[axis]} {factor_per_tenfold(ends[0], ends[-1]):.2f}")
    return f"Ten times as many cost beanrow so many times as much: {'; '.join(factors)}.\n"


# --- latency ------------------------------------------------------------------------------------

PERCENTILES = {"p50_us": "p50", "p90_us": "p90", "p99_us": "p99", "p999_us": "p99.9"}


def latencies_us(case: dict[str, Any], side: str) -> list[float]:
    """The typical percentiles."""
    rounds = [one[side] for one in case["rounds"]]
    return [middle(rounds, name) for name in PERCENTILES]


def _latency(report: Report) -> str:
    rows, verdicts = [], []
    for case in paced(report):
        for side, name in (("baseline", "beanstalkd"), ("candidate", "beanrow")):
            percentiles = [f"{one:,.0f}" for one in latencies_us(case, side)]
            rows.append([f"`{case['name']}`", name, f"{typical(case, side)[0]:,.0f}", *percentiles])
        ratio = case["p99_ratio"]
        kept = _kept(ratio, MOST_P99_RATIO)
        verdicts.append(
            f"The p99 of `{case['name']}` is {ratio:.2f} times beanstalkd's; at most "
            f"{MOST_P99_RATIO:g} is asked for: {kept}.\n"
        )
    titles = ["case", "server", "commands/s", *(f"{name}, µs" for name in PERCENTILES.values())]
    return _table(titles, "llrrrrr", rows) + "\n" + "".join(verdicts)


# --- memory -------------------------------------------------------------------------------------


def levels(report: Report) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What beanstalkd and beanrow hold, empty, full and emptied, for each size of body."""
    both = report["memory"]["levels"]
    baseline, candidate = report["run"]["baseline"]["name"], report["run"]["candidate"]["name"]
    theirs = [one for one in both if one["name"] == baseline]
    ours = [one for one in both if one["name"] == candidate]
    return list(zip(theirs, ours, strict=True))


def _memory(report: Report) -> str:
    rows = []
    for pair in levels(report):
        for one in pair:
            sizes = [_mb(one[f"{when}_bytes"]) for when in ("empty", "full", "emptied")]
            job, share = f"{one['bytes_per_job']:,.0f}", f"{one['emptied_ratio']:.2f}"
            shape = [f"{one['jobs']:,}", f"{one['body_bytes']:,}"]
            rows.append([one["name"], *shape, job, *sizes, share])
    titles = ["server", "jobs", "bytes of each body", "bytes in memory of each job", "empty, MB"]
    titles += ["full, MB", "emptied, MB", "emptied / empty"]
    return "\n".join([_table(titles, "lrrrrrrr", rows), _memory_verdict(report), _growths(report)])


def _mb(size: float) -> str:
    return f"{size / 1e6:,.1f}"


def _memory_verdict(report: Report) -> str:
    pairs = levels(report)
    theirs, ours = pairs[0]
    ratio = ours["bytes_per_job"] / theirs["bytes_per_job"]
    returned = "; ".join(
        f"{one['emptied_ratio']:.2f} with bodies of {one['body_bytes']:,} bytes, "
        f"{_kept(one['emptied_ratio'], MOST_EMPTIED_RATIO)}"
        for _, one in pairs
    )
    return (
        f"A job of {ours['body_bytes']} bytes takes {ratio:.2f} times as much as in beanstalkd; at "
        f"most {MOST_MEMORY_RATIO:g} is asked for: {_kept(ratio, MOST_MEMORY_RATIO)}. When all "
        f"jobs are deleted, beanrow should hold at most {MOST_EMPTIED_RATIO:g} times what it held "
        f"empty: {returned}.\n"
    )


def _growths(report: Report) -> str:
    said = [
        f"{one['name']} from {_mb(one['first_bytes'])} to {_mb(one['last_bytes'])} MB while "
        f"{one['cycles']:,} jobs came and went in {one['seconds']:,.0f} s"
        for one in report["memory"]["churn"]
    ]
    depth = report["memory"]["churn"][0]["depth"]
    return f"Beside {depth:,} jobs that are always there: {'; '.join(said)}.\n"


def _kept(ratio: float, most: float) -> str:
    return "kept" if ratio <= most else "**missed**"


def _collector(report: Report) -> str:
    rows = [
        [
            MODES[one["mode"]],
            one["build"],
            f"{one['jobs']:,}",
            f"{one['collections']:,}",
            f"{one['longest_ms']:,.1f}",
            f"{one['total_ms']:,.1f}",
            f"{one['longest_step_ms']:,.1f}",
        ]
        for one in report["memory"]["pauses"]
    ]
    titles = ["collector", "build", "jobs", "collections", "the longest, ms", "all, ms"]
    return _table([*titles, "the longest step, ms"], "llrrrrr", rows)


# --- Redis --------------------------------------------------------------------------------------


def _redis(report: Report) -> str:
    if "missing" in report["redis"]:
        return f"Redis was not measured: {report['redis']['missing']}\n"
    titles = ["case", "Redis, commands/s", "beanrow, commands/s", "ratio", "Redis, CPU µs"]
    titles += ["beanrow, CPU µs"]
    rows = []
    for case in report["redis"]["cases"]:
        theirs, ours = typical(case, "baseline"), typical(case, "candidate")
        rows.append(
            [
                f"`{case['name']}`",
                f"{theirs[0]:,.0f}",
                f"{ours[0]:,.0f}",
                f"{case['rate_ratio']:.2f}",
                f"{theirs[1]:.1f}",
                f"{ours[1]:.1f}",
            ]
        )
    return _table(titles, "lrrrrr", rows)
