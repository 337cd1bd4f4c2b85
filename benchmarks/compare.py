"""The comparison itself: A B A B, each time with a fresh server and the same amount of work.

Both servers run one after the other within a round, never at once, so that what else happens on
the machine (other programs, heat, a hypervisor) falls on both alike; a ratio is only ever taken
between the two halves of one round.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.cases import Case
from benchmarks.journals import Journals
from benchmarks.load import Load, Measurement, typical
from benchmarks.prefill import prefill
from benchmarks.servers import Contender, running

CALIBRATION_PART = 0.25  # of the seconds of a run
LEAST_CALIBRATION_S = 0.05
WARMUP_PART = 0.1  # of the units of a run
MOST_WARMUP_UNITS = 20_000
# Jobs pile up in a put case; these bound the memory they take.
MOST_UNITS = 1_000_000
MOST_BODY_BYTES = 512 * 1024 * 1024
PEAK_PART = 0.5  # of the seconds of a run, for each attempt to find the highest rate
PEAK_ATTEMPTS = 3
PACED_SPLIT = 8  # rounds with a given rate in place of each other round
LEAST_PACED_S = 0.1


@dataclass(frozen=True)
class Round:
    """Both servers under the same load, one directly after the other."""

    baseline: Measurement
    candidate: Measurement

    @property
    def rate_ratio(self) -> float:
        """How many commands the candidate executes in the time of one of the baseline's."""
        return self.candidate.commands_per_s / self.baseline.commands_per_s

    @property
    def cpu_ratio(self) -> float:
        """How much CPU the candidate uses where the baseline uses one second."""
        return self.candidate.server_us_per_command / self.baseline.server_us_per_command

    @property
    def p99_ratio(self) -> float:
        """How long the slowest of a hundred commands takes where the baseline's takes a second."""
        return self.candidate.p99_us / self.baseline.p99_us


@dataclass(frozen=True)
class CaseResult:
    """All rounds of one case, each of the same number of units, at its `rate` if it has one."""

    case: Case
    units: int
    rounds: Sequence[Round]

    @property
    def baseline(self) -> Measurement:
        """The baseline's typical round."""
        return typical([one.baseline for one in self.rounds])

    @property
    def candidate(self) -> Measurement:
        """The candidate's typical round."""
        return typical([one.candidate for one in self.rounds])

    @property
    def rate_ratios(self) -> list[float]:
        return sorted(one.rate_ratio for one in self.rounds)

    @property
    def cpu_ratios(self) -> list[float]:
        return sorted(one.cpu_ratio for one in self.rounds)

    @property
    def p99_ratios(self) -> list[float]:
        return sorted(one.p99_ratio for one in self.rounds)


@dataclass(frozen=True)
class Comparison:
    """Two servers, the load for them, how long and how often each case runs, and on which disk."""

    baseline: Contender
    candidate: Contender
    load: Load
    rounds: int
    seconds: float
    journals: Journals

    def suited_to(self, case: Case) -> "Comparison":
        """The same for this case: of latencies more and shorter rounds.

        What holds up a machine for some milliseconds then spoils the percentiles of one round.
        """
        if not case.is_paced:
            return self
        seconds = max(LEAST_PACED_S, self.seconds / PACED_SPLIT)
        return replace(self, rounds=self.rounds * PACED_SPLIT, seconds=seconds)

    def compare(self, case: Case, say: Callable[[str], None]) -> CaseResult:
        """Measure one case; `say` hears after each of its 1 + `rounds` steps what came out.

        Raises BenchmarkError as soon as a server or the load fails.
        """
        case = self._with_rate(case)
        units = self._calibrate(case)
        pace = f" at {case.rate:,.0f} a second" if case.rate is not None else ""
        say(f"{case.name}: {units * case.commands_per_unit:,} commands a run{pace}")
        rounds = []
        for number in range(1, self.rounds + 1):
            one = Round(
                self._measure(self.baseline, case, units),
                self._measure(self.candidate, case, units),
            )
            rounds.append(one)
            rates = f"{one.baseline.commands_per_s:,.0f} and {one.candidate.commands_per_s:,.0f}"
            ratio = f"of p99 {one.p99_ratio:.2f}" if case.is_paced else f"{one.rate_ratio:.2f}"
            say(f"{case.name}, round {number} of {self.rounds}: {rates} commands/s, ratio {ratio}")
        return CaseResult(case, units, rounds)

    def _with_rate(self, case: Case) -> Case:
        """Give a case its rate, if that is a part of the highest one of the baseline."""
        if case.peak_part is None or case.rate is not None:
            return case
        seconds = max(LEAST_CALIBRATION_S, self.seconds * PEAK_PART)
        peak = max(
            self._run(
                self.baseline,
                replace(case, peak_part=None),
                units=_most_units(case),
                seconds=seconds,
            ).commands_per_s
            for _ in range(PEAK_ATTEMPTS)
        )
        return replace(case, rate=case.peak_part * peak)

    def _calibrate(self, case: Case) -> int:
        """Find how many units keep the slower server busy for as long as a run shall last.

        A fixed number, not a fixed time: so both hold equally many jobs at every stage.
        """
        rate = case.rate
        if rate is None:
            seconds = max(LEAST_CALIBRATION_S, self.seconds * CALIBRATION_PART)
            rate = min(
                self._run(contender, case, units=_most_units(case), seconds=seconds).commands_per_s
                for contender in (self.baseline, self.candidate)
            )
        units = int(rate * self.seconds / case.commands_per_unit)
        return max(case.in_flight, min(units, _most_units(case)))

    def _measure(self, contender: Contender, case: Case, units: int) -> Measurement:
        warmup_units = min(int(units * WARMUP_PART), MOST_WARMUP_UNITS)
        return self._run(contender, case, units=units, warmup_units=warmup_units)

    def _run(
        self,
        contender: Contender,
        case: Case,
        *,
        units: int | None = None,
        seconds: float | None = None,
        warmup_units: int = 0,
    ) -> Measurement:
        with (
            self.journals.options(case.policy) as options,
            running(contender, self.load.cores.server, options) as server,
        ):
            prefill(server, case.tubes)
            return self.load.run(
                server, case, units=units, seconds=seconds, warmup_units=warmup_units
            )


def _most_units(case: Case) -> int:
    if case.verbs == "cycle" or not case.body_bytes:
        return MOST_UNITS
    return min(MOST_UNITS, MOST_BODY_BYTES // case.body_bytes)
