"""The figures of docs/durability.md: tables, and one picture."""

from pathlib import Path
from typing import Any

from benchmarks.kept import disturbance, typical
from benchmarks.plots import BEANROW_COLOR, BEANSTALKD_COLOR, BOUND_COLOR, picture


def tables(rates: dict[str, Any], churn: dict[str, Any]) -> str:
    """All figures of the page, as Markdown."""
    parts = [_machine(rates), _rates_table(rates), _restart(rates), _churn(churn)]
    return "\n\n".join(parts) + "\n"


def _machine(result: dict[str, Any]) -> str:
    machine, run = result["machine"], result["run"]
    baseline, candidate = run["baseline"], run["candidate"]
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, {machine['python']}; "
        f"journals on {run['disk']['file_system']}, where {int(run['disk']['syncs_per_s']):,} "
        "appends of 170 bytes, each with its fdatasync, take a second; "
        f"{baseline['name']} {baseline['version']}, {candidate['version']}; "
        f"{run['rounds']} rounds of {run['seconds']:g} s, bodies of {run['body_bytes']} bytes."
        f"{disturbance(machine)}"
    )


def _rates_table(result: dict[str, Any]) -> str:
    titles = ["case", "what", "beanstalkd, commands/s", "beanrow, commands/s", "ratio"]
    titles += ["beanstalkd, CPU µs", "beanrow, CPU µs"]
    lines = [f"| {' | '.join(titles)} |", "|---|---|--:|--:|--:|--:|--:|"]
    for case in result["cases"]:
        baseline, candidate = typical(case, "baseline"), typical(case, "candidate")
        lines.append(
            f"| `{case['name']}` | {_what(case)} | {baseline[0]:,.0f} | {candidate[0]:,.0f} "
            f"| {case['rate_ratio']:.2f} | {baseline[1]:.1f} | {candidate[1]:.1f} |"
        )
    return "\n".join(lines)


def _what(case: dict[str, Any]) -> str:
    verbs = "put" if case["verbs"] == "put" else "put/reserve/delete"
    shape = f"{case['connections']}" + (f" x {case['window']}" if case["window"] > 1 else "")
    return f"{verbs}, {shape}, " + (f"`{case['policy']}`" if case["policy"] else "no journal")


def _restart(result: dict[str, Any]) -> str:
    restart = result["restart"]
    return (
        f"Restart with {restart['jobs']:,} jobs, from the start of the process to the first reply: "
        f"beanstalkd {restart['baseline_s']:.2f} s, beanrow {restart['candidate_s']:.2f} s, "
        f"ratio {restart['ratio']:.2f}; the journals take "
        f"{restart['journal_bytes'][0] / 1e6:,.0f} MB and "
        f"{restart['journal_bytes'][1] / 1e6:,.0f} MB."
    )


def _churn(result: dict[str, Any]) -> str:
    both = result["churn"]
    one, other = both["candidate"], both["baseline"]
    verdict = "within" if one["is_within_bound"] else "BEYOND"
    return (
        f"One job buried for ever, {one['cycles']:,} put/reserve/delete beside it: beanrow's "
        f"journal takes at most {one['worst']['bytes']:,} bytes, {verdict} the bound of "
        f"{one['bound_bytes']:,}; beanstalkd's at most {other['worst']['bytes']:,}."
    )


# --- the picture ------------------------------------------------------------------------------


def draw(rates: dict[str, Any], churn: dict[str, Any], target: Path) -> None:
    """Three plots in a row."""
    with picture(target, "The price of the journal", (2.2, 1, 2), 3.4) as (left, middle, right):
        _draw_rates(left, rates)
        _draw_restart(middle, rates)
        _draw_churn(right, churn)


def _draw_rates(axes: Any, result: dict[str, Any]) -> None:
    names = ["put-50-memory", "put-50-F", "put-50-f50", "put-50-f0"]
    cases = {case["name"]: case for case in result["cases"]}
    for offset, side, label, color in (
        (-0.2, "baseline", "beanstalkd", BEANSTALKD_COLOR),
        (0.2, "candidate", "beanrow", BEANROW_COLOR),
    ):
        rates = [typical(cases[name], side)[0] / 1e3 for name in names]
        bars = axes.bar([i + offset for i in range(len(names))], rates, 0.38, color=color)
        axes.bar_label(bars, fmt="%.0f", padding=2)
        bars.set_label(label)
    axes.set_xticks(range(len(names)), ["no journal", "-F", "-f 50", "-f 0"])
    axes.set_ylabel("thousands of puts a second")
    axes.set_title("50 connections, one put in flight each")
    axes.legend(frameon=False)


def _draw_restart(axes: Any, result: dict[str, Any]) -> None:
    restart = result["restart"]
    bars = axes.bar(
        ["beanstalkd", "beanrow"],
        [restart["baseline_s"], restart["candidate_s"]],
        0.6,
        color=[BEANSTALKD_COLOR, BEANROW_COLOR],
    )
    axes.bar_label(bars, fmt="%.2f", padding=2)
    axes.set_ylabel("seconds to the first reply")
    axes.set_title(f"restart, {restart['jobs'] / 1e6:g} million jobs")


def _draw_churn(axes: Any, result: dict[str, Any]) -> None:
    both = result["churn"]
    for side, label, color in (
        ("baseline", "beanstalkd", BEANSTALKD_COLOR),
        ("candidate", "beanrow", BEANROW_COLOR),
    ):
        samples = both[side]["samples"]
        axes.plot(
            [one["deletes"] / 1e6 for one in samples],
            [one["bytes"] / 1e6 for one in samples],
            color=color,
            label=label,
            linewidth=1,
        )
    axes.axhline(
        both["candidate"]["bound_bytes"] / 1e6, color=BOUND_COLOR, linestyle="--", label="the bound"
    )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("million jobs come and gone")
    axes.set_ylabel("MB on disk")
    axes.set_title("one job buried for ever")
    axes.legend(frameon=False)
