"""How long Python's cycle collector stops everything: an engine with many jobs, and more to come.

`python -m benchmarks.pauses MODE JOBS` is what each measurement is made with, in a process of its
own; it prints one line of JSON. `measure` runs it.
"""

import gc
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from time import perf_counter_ns
from typing import Any

from beanrow.build import BUILD
from beanrow.engine.engine import Engine
from beanrow.engine.session import Session
from benchmarks.errors import BenchmarkError
from benchmarks.servers import CHECKOUT

#: The one that runs, and the source.
BUILDS = tuple(dict.fromkeys((BUILD, "interpreted")))

#: What may be asked of the collector, before an engine is filled.
MODES = {
    "on": "the collector as Python has it",
    "frozen": "on, and what was there before the jobs is left alone (gc.freeze)",
    "off": "no collector, as the server has it",
}

BODY_BYTES = 100
STEP_NS = 1000


@dataclass(frozen=True)
class Pauses:
    """What was seen of the collector, in milliseconds, while jobs came and then came and went."""

    mode: str
    build: str
    jobs: int
    collections: int
    longest_ms: float
    total_ms: float
    #: The longest time that one step took, whatever the reason.
    longest_step_ms: float
    #: One collection of everything at the end, asked for.
    full_ms: float

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def measure(mode: str, jobs: int, build: str) -> Pauses:
    """Fill an engine in a process of its own. Raises BenchmarkError.

    The build is this process's own, or "interpreted": the source is always there.
    """
    command = [sys.executable, "-m", "benchmarks.pauses", mode, str(jobs)]
    environment = dict(os.environ)
    if build != BUILD:
        environment["PYTHONPATH"] = str(CHECKOUT / "src")
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=CHECKOUT
    )
    if ended.returncode != 0:
        said = ended.stderr.strip().splitlines() or [f"status {ended.returncode}"]
        raise BenchmarkError(f"{' '.join(command[1:])} failed: {said[-1]}")
    return Pauses(**json.loads(ended.stdout))


def observe(mode: str, jobs: int) -> Pauses:
    """Fill an engine here, and watch the collector of this process."""
    collections: list[int] = []
    began_ns = 0

    def note(phase: str, _: dict[str, int]) -> None:
        nonlocal began_ns
        if phase == "start":
            began_ns = perf_counter_ns()
        else:
            collections.append(perf_counter_ns() - began_ns)

    engine = Engine()
    session = engine.open_session()
    gc.collect()
    if mode == "frozen":
        gc.freeze()
    if mode == "off":
        gc.disable()
    gc.callbacks.append(note)
    longest_step_ns = _fill_and_churn(engine, session, jobs)
    gc.callbacks.remove(note)
    asked_ns = perf_counter_ns()
    gc.collect()
    full_ns = perf_counter_ns() - asked_ns
    assert len(engine.jobs) == jobs
    return Pauses(
        mode=mode,
        build=BUILD,
        jobs=jobs,
        collections=len(collections),
        longest_ms=max(collections, default=0) / 1e6,
        total_ms=sum(collections) / 1e6,
        longest_step_ms=longest_step_ns / 1e6,
        full_ms=full_ns / 1e6,
    )


def _fill_and_churn(engine: Engine, session: Session, jobs: int) -> int:
    """Put so many jobs, then as many more with a reserve and a delete; returns the longest step."""
    now_ns = STEP_NS
    longest_ns = 0
    for number in range(2 * jobs):
        now_ns += STEP_NS
        began_ns = perf_counter_ns()
        job = engine.begin_put(session, 0, 0, 60, now_ns)
        engine.finish_put(job, bytes(BODY_BYTES), now_ns)
        if number >= jobs:
            engine.reserve_job(session, job.id - jobs, now_ns)
            engine.delete(session, job.id - jobs)
        engine.changes.clear()
        took_ns = perf_counter_ns() - began_ns
        if took_ns > longest_ns:
            longest_ns = took_ns
    return longest_ns


if __name__ == "__main__":
    print(json.dumps(observe(sys.argv[1], int(sys.argv[2])).as_json()))
