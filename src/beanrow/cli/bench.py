"""`beanrow bench`: how much a server can do, and how long its clients wait.

It works in a tube of its own and leaves nothing there: what a run that was cut short has left is
removed, and what cannot be removed is told.
"""

import argparse
import math
import os
import secrets
import shlex
import signal
import string
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from beanrow.cli.common import (
    CommandError,
    Parser,
    add_client_command,
    connect,
    is_terminal,
    print_json,
    print_table,
)
from beanrow.cli.ending import tell
from beanrow.client import Connection, TubeStats
from beanrow.client.address import TCPAddress, parse_address
from beanrow.errors import BeanrowError, InvalidArgument

if TYPE_CHECKING:
    from beanrow.bench.load import Outcome, Plan, Target
    from beanrow.cli.common import Commands

DESCRIPTION: Final = """\
Measure how many commands a second a server executes, and how long each of them takes. It may be any
server that speaks the beanstalk protocol, and others may use it meanwhile.

Each connection puts a job, reserves one, deletes it, and begins anew (--mix cycle), or only puts
(--mix put). Without --rate it sends a command as soon as a reply is there: this finds the highest
rate. With --rate the commands are due at evenly spaced moments, and a latency counts from the
moment when its command was due: this finds how long clients wait when the server is as busy as
yours will be. Every reply is verified.

All happens in a tube that is made for it. Its jobs are removed at the end, also after Ctrl-C. With
--mix put the server has to hold them until then, so at most a million are put, and 256 MiB.

The load comes from a C program, which is compiled when it is first needed and kept in
~/.cache/beanrow (or in $XDG_CACHE_HOME). It needs Linux and a C compiler, cc or $CC. Run it on
another machine than the server, or where both have a processor of their own.
"""

EXAMPLES: Final = """\
  beanrow bench                                   the highest rate of the server here
  beanrow bench -s queue.example:11300 --connections 500 --seconds 30
  beanrow bench --rate 20000 --body 2000          the latency at 20,000 commands a second
  beanrow bench --connections 5000 --active 50    many clients, most of them idle
  beanrow bench --in-flight 100 --mix put         producers that do not wait for replies
  beanrow bench --json | jq .p99_us
  beanrow bench --clean beanrow-bench-7-ab12cd34  remove what a run could not remove
"""

MOST_JOBS: Final = 1_000_000
MOST_BODY_BYTES_IN_ALL: Final = 256 * 1024 * 1024
TUBE_BEGINNING: Final = "beanrow-bench-"
#: What the generator needs of a core when it is likely to be what limits the rate.
BUSY: Final = 0.9
#: A server that keeps up may still owe the replies that the very last commands have to wait for.
LEAST_MISSED: Final = 0.005
#: How long jobs may stay reserved by connections that are gone.
CLEANING_S: Final = 10.0
CLEANING_PAUSE_S: Final = 0.05


def add_parser(commands: "Commands") -> Parser:
    """Say what the command line may contain."""
    summary = "measure what a server can do"
    parser = add_client_command(commands, "bench", summary, DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "--mix",
        choices=("cycle", "put"),
        default="cycle",
        help="put, reserve and delete, or only put; default: %(default)s",
    )
    parser.add_argument(
        "--connections",
        type=_whole_number(1, 1_000_000),
        default=50,
        metavar="N",
        help="how many clients there are; default: %(default)s",
    )
    parser.add_argument(
        "--active",
        type=_whole_number(1, 1_000_000),
        metavar="N",
        help="how many of them have work at a time; all have their turn; default: all",
    )
    parser.add_argument(
        "--in-flight",
        type=_whole_number(1, 100_000),
        default=1,
        metavar="N",
        help="how many commands of each may wait for a reply at a time; default: %(default)s",
    )
    parser.add_argument(
        "--body",
        type=_whole_number(0, 1_073_741_824),
        default=100,
        metavar="BYTES",
        help="the size of each body; default: %(default)s",
    )
    parser.add_argument(
        "--rate",
        type=_number(0.1, 1e8),
        metavar="N",
        help="commands a second, of all connections together; default: as many as possible",
    )
    parser.add_argument(
        "--seconds",
        type=_number(0.01, 1e6),
        default=5.0,
        metavar="S",
        help="how long to measure; default: 5",
    )
    parser.add_argument(
        "--clean",
        type=_tube_of_bench,
        metavar="TUBE",
        help="do not measure, but remove the jobs that an earlier run has left in its tube",
    )
    return parser


def _whole_number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
        if not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text} is not from {least} to {most}")
        return int(text)

    return read


def _number(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least:g} to {most:g}")
        return number

    return read


def _tube_of_bench(text: str) -> str:
    if not text.startswith(TUBE_BEGINNING):  # its jobs are somebody's
        raise argparse.ArgumentTypeError(f"{text!r} is no tube of this command, {TUBE_BEGINNING}…")
    return text


def run(args: argparse.Namespace) -> int:
    """Measure, remove what is left, and print what came out; or only remove."""
    from beanrow.bench.load import Target
    from beanrow.bench.program import build_load

    if args.active is not None and args.active > args.connections:
        raise InvalidArgument(f"--active: {args.active} of {args.connections} connections")
    address = parse_address(args.server)
    target = (
        Target(address.host, address.port)
        if isinstance(address, TCPAddress)
        else Target(address.path, None)
    )
    tube = args.clean or f"{TUBE_BEGINNING}{os.getpid()}-{secrets.token_hex(4)}"
    plan = _plan(args, tube)
    with connect(args) as queue, _signals_interrupt():
        bench = Bench(args, build_load(), target, plan)
        if args.clean:
            _print_removed(args, bench.empty_tube())
            return 0
        version = queue.stats().version
        with bench.leaving_nothing():
            bench.try_one_job(queue)
            outcome = bench.measure()
    if args.json:
        print_json(_document(args, version, plan, outcome))
    else:
        _print_report(args, version, plan, outcome)
    return 0


def _plan(args: argparse.Namespace, tube: str) -> "Plan":
    from beanrow.bench.load import Plan

    units = None
    if args.mix == "put":
        units = max(1, min(MOST_JOBS, MOST_BODY_BYTES_IN_ALL // max(1, args.body)))
    return Plan(
        work=args.mix,
        connections=args.connections,
        window=args.in_flight,
        body_bytes=args.body,
        units=units,
        seconds=args.seconds,
        rate=args.rate,
        active=args.active,
        tube=tube,
        shows_progress=is_terminal(sys.stderr),
    )


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the command as Ctrl-C does, so that it cleans up."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@dataclass
class Bench:
    """The measurement, and the tube that it is made in."""

    args: argparse.Namespace
    program: Path
    target: "Target"
    plan: "Plan"

    def try_one_job(self, queue: Connection) -> None:
        """Put a job and delete it: the errors of the client tell more than those of the load."""
        queue.use(self.plan.tube)
        queue.watch(self.plan.tube)
        queue.ignore("default")
        # The same body as that of the load, so that it is none to wonder about if it is left.
        letters = string.ascii_lowercase
        queue.put((letters * (self.plan.body_bytes // len(letters) + 1))[: self.plan.body_bytes])
        job = queue.reserve(timeout=0)
        if job is not None:
            job.delete()

    def measure(self) -> "Outcome":
        """Put the load on the server, and show how far it is."""
        meter = Meter(self.args.seconds)
        meter.write(f"connecting {self.plan.connections:,} times")
        return self._load(self.plan, meter)

    def _load(self, plan: "Plan", meter: "Meter") -> "Outcome":
        from beanrow.bench.load import LoadRun

        try:
            with LoadRun(self.program, self.target, plan) as load:
                load.wait_until_ready()
                meter.start()
                return load.go(meter.show)
        finally:
            meter.clear()

    @contextmanager
    def leaving_nothing(self) -> Iterator[None]:
        """Remove what is left in the tube at the end, however that comes.

        If that fails after something else has, CommandError tells both, the cause first.
        """
        cause = ""
        try:
            yield
        except BeanrowError as error:
            cause = f"{error}; "
            raise
        finally:
            try:
                self.empty_tube()
            except KeyboardInterrupt:
                tell(f"{self.args.prog}: {self._what_is_left('interrupted')}")
                raise
            except BeanrowError as error:
                left = self._what_is_left(str(error))
                if cause:
                    raise CommandError(cause + left) from error
                tell(f"{self.args.prog}: {left}")

    def empty_tube(self) -> int:
        """Remove all jobs of the tube; returns how many there were."""
        found = 0
        with Connection(self.args.server) as queue:
            queue.use(self.plan.tube)
            give_up_at_s = time.monotonic() + CLEANING_S
            while (left := _jobs_in(tube := queue.stats_tube(self.plan.tube))) > 0:
                found = max(found, left)
                if tube.current_jobs_buried:  # what the server has no memory for
                    queue.kick(tube.current_jobs_buried)
                if tube.current_jobs_ready + tube.current_jobs_buried:
                    self._delete_jobs(queue)
                elif time.monotonic() > give_up_at_s:
                    raise BeanrowError(f"{left} jobs are neither ready nor gone")
                else:  # the server has not seen yet that connections are gone
                    time.sleep(CLEANING_PAUSE_S)
        return found

    def _delete_jobs(self, queue: Connection) -> None:
        from beanrow.bench.load import Plan

        job = queue.peek_ready()
        if job is None:  # somebody else was faster
            return
        plan = Plan(
            work="drain",
            connections=min(4, self.plan.connections),
            window=50,
            body_bytes=len(job.body),  # which all of them have
            tube=self.plan.tube,
            shows_progress=self.plan.shows_progress,
        )
        meter = Meter(None, "removing what is left in the tube: ")
        meter.write("removing what is left in the tube")
        self._load(plan, meter)

    def _what_is_left(self, why: str) -> str:
        server, tube = shlex.quote(self.args.server), self.plan.tube
        return (
            f"jobs may be left in the tube {tube} ({why}); to remove them: "
            f"beanrow bench -s {server} --clean {tube}"
        )


def _jobs_in(tube: TubeStats) -> int:
    return (
        tube.current_jobs_ready
        + tube.current_jobs_reserved
        + tube.current_jobs_delayed
        + tube.current_jobs_buried
    )


class Meter:
    """One line at the terminal that says how far it is; nothing is said elsewhere."""

    def __init__(self, seconds: float | None, beginning: str = "") -> None:
        self._seconds = seconds
        self._beginning = beginning
        self._is_shown = is_terminal(sys.stderr)
        self._started_s = time.monotonic()

    def start(self) -> None:
        """From now on time counts."""
        self._started_s = time.monotonic()

    def show(self, commands: int) -> None:
        """Tell how many commands have been answered since the start."""
        passed_s = time.monotonic() - self._started_s
        all_s = f" of {self._seconds:g}" if self._seconds is not None else ""
        rate = f"{commands / passed_s:,.0f} commands/s"
        self.write(f"{self._beginning}{passed_s:.0f}{all_s} s, {rate}")

    def clear(self) -> None:
        """Leave the line empty."""
        self.write("")

    def write(self, text: str) -> None:
        """Put another text into the line."""
        if not self._is_shown:
            return
        try:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        except OSError:  # the terminal is gone; what is shown there matters no more
            self._is_shown = False


# --- what came out ------------------------------------------------------------------------------


def _print_removed(args: argparse.Namespace, jobs: int) -> None:
    if args.json:
        print_json({"server": args.server, "tube": args.clean, "removed": jobs})
    else:
        print(f"removed {jobs:,} {'job' if jobs == 1 else 'jobs'} from the tube {args.clean}")


def _document(
    args: argparse.Namespace, version: str, plan: "Plan", outcome: "Outcome"
) -> dict[str, Any]:
    return {
        "server": args.server,
        "version": version,
        "mix": plan.work,
        "connections": plan.connections,
        "active": plan.active,
        "in_flight": plan.window,
        "body_bytes": plan.body_bytes,
        "rate": plan.rate,
        **asdict(outcome),
        "commands_per_s": outcome.commands_per_s,
        "generator_was_late": plan.rate is not None and outcome.generator_was_late,
    }


def _print_report(args: argparse.Namespace, version: str, plan: "Plan", outcome: "Outcome") -> None:
    work = "put" if plan.work == "put" else "put, reserve, delete"
    active = f" ({plan.active} active)" if plan.active is not None else ""
    connections = "1 connection" if plan.connections == 1 else f"{plan.connections:,} connections"
    print(f"{args.server}, version {version}")
    print(
        f"{work} on {connections}{active}, {plan.window} in flight each, bodies of "
        f"{plan.body_bytes:,} bytes, {outcome.seconds:.2f} s\n"
    )
    latencies = (outcome.p50_us, outcome.p90_us, outcome.p99_us, outcome.p999_us, outcome.max_us)
    print_table(
        [
            ("commands/s", "jobs/s", "p50 µs", "p90 µs", "p99 µs", "p99.9 µs", "max µs"),
            (
                _rate(outcome.commands_per_s).rjust(len("commands/s")),
                _rate(outcome.commands_per_s / (1 if plan.work == "put" else 3)),
                *(f"{latency:,.0f}" for latency in latencies),
            ),
        ]
    )
    for doubt in _doubts(plan, outcome):
        print(f"\n{doubt}")


def _rate(per_s: float) -> str:
    """Word a rate; a low one with two digits that say something."""
    return f"{per_s:,.0f}" if per_s >= 10 else f"{per_s:.2g}"


def _doubts(plan: "Plan", outcome: "Outcome") -> Iterator[str]:
    """Say where the numbers are not what they seem to be."""
    if plan.units is not None and outcome.commands >= plan.units:
        yield (
            f"Ended after {outcome.seconds:.2f} s: with --mix put at most {plan.units:,} bodies of "
            "this size are put."
        )
    if plan.rate is None:
        if outcome.cpu_seconds > BUSY * outcome.seconds:
            yield (
                f"The load generator used {outcome.cpu_seconds / outcome.seconds:.0%} of a core, "
                "so the server may be able to do more."
            )
        return
    if outcome.generator_was_late:
        yield (
            f"The load generator itself was late ({outcome.late_p99_us:,.0f} µs at p99): this "
            "machine is busy, and the latencies are not the server's alone."
        )
    part = outcome.missed / max(1, outcome.missed + outcome.commands)
    if part >= LEAST_MISSED:
        yield (
            f"The server did not keep up with {_rate(plan.rate)} commands/s: {part:.0%} of them "
            "were never sent, and the longer it is measured the longer the others wait."
        )
