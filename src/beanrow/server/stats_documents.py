"""The stats documents: what the engine counts, under the names that the wire has for it."""

from __future__ import annotations

import os
import platform
import resource
import secrets

import beanrow
from beanrow.engine.engine import Engine
from beanrow.engine.job import STATE_NAMES, Job
from beanrow.engine.tube import Tube
from beanrow.journal.base import JournalFacts
from beanrow.protocol import replies
from beanrow.protocol.commands import VERBS
from beanrow.protocol.limits import NS_PER_S

_COUNTED = {b"cmd-" + verb.word.rstrip(): verb.code for verb in VERBS}
_STATES = [name.encode() for name in STATE_NAMES]


class ServerFacts:
    """What a server says of itself for as long as it runs."""

    __slots__ = ("constants", "started_at_ns")

    def __init__(self, max_job_bytes: int, segment_bytes: int, started_at_ns: int) -> None:
        self.started_at_ns = started_at_ns
        system = os.uname()
        self.constants: dict[bytes, object] = {
            b"max-job-size": max_job_bytes,
            b"binlog-max-size": segment_bytes,
            b"pid": os.getpid(),
            b"version": f"beanrow {beanrow.__version__}".encode(),
            b"id": secrets.token_hex(8).encode(),
            b"hostname": system.nodename.encode(),
            b"os": system.version.encode(),
            b"platform": platform.machine().encode(),
        }


def job_document(job: Job, segment: int, now_ns: int) -> bytes:
    """The answer to stats-job: all times in whole seconds, and the segment it is kept in."""
    return replies.STATS_JOB % {
        b"id": job.id,
        b"tube": job.tube.name,
        b"state": _STATES[job.state],
        b"pri": job.pri,
        # The clock of the machine may have been set back since an earlier run put it.
        b"age": max(0, now_ns - job.created_at_ns) // NS_PER_S,
        b"delay": job.delay_s,
        b"ttr": job.ttr_s,
        b"time-left": job.time_left_ns(now_ns) // NS_PER_S,
        b"file": segment,
        b"reserves": job.reserves,
        b"timeouts": job.timeouts,
        b"releases": job.releases,
        b"buries": job.buries,
        b"kicks": job.kicks,
    }


def tube_document(tube: Tube, now_ns: int) -> bytes:
    """The answer to stats-tube."""
    return replies.STATS_TUBE % {
        b"name": tube.name,
        b"urgent": tube.urgent,
        b"ready": len(tube.ready.nodes),
        b"reserved": tube.reserved,
        b"delayed": len(tube.delayed.nodes),
        b"buried": len(tube.buried),
        b"total-jobs": tube.total_jobs,
        b"using": tube.using,
        b"watching": tube.watching,
        b"waiting": len(tube.waiting),
        b"deletes": tube.deletes,
        b"pauses": tube.pauses,
        b"pause": tube.pause_s,
        b"pause-time-left": max(0, tube.unpause_at_ns - now_ns) // NS_PER_S if tube.paused else 0,
    }


def server_document(
    engine: Engine,
    counts: list[int],
    facts: ServerFacts,
    journal: JournalFacts,
    draining: bool,
    now_ns: int,
) -> bytes:
    """The answer to stats. `counts` says how often each verb was used, by its code."""
    totals = engine.totals
    usage = resource.getrusage(resource.RUSAGE_SELF)
    values = dict(facts.constants)
    for key, code in _COUNTED.items():
        values[key] = counts[code]
    values |= {
        b"urgent": totals.urgent,
        b"ready": len(engine.jobs) - totals.reserved - totals.delayed - totals.buried,
        b"reserved": totals.reserved,
        b"delayed": totals.delayed,
        b"buried": totals.buried,
        b"timeouts": totals.timeouts,
        b"total-jobs": totals.total_jobs,
        b"tubes": len(engine.tubes),
        b"connections": totals.sessions,
        b"producers": totals.producers,
        b"workers": totals.workers,
        b"waiting": totals.waiting,
        b"total-connections": totals.total_sessions,
        b"utime": b"%.6f" % usage.ru_utime,
        b"stime": b"%.6f" % usage.ru_stime,
        b"uptime": (now_ns - facts.started_at_ns) // NS_PER_S,
        b"binlog-oldest-index": journal.oldest_index,
        b"binlog-current-index": journal.current_index,
        b"binlog-records-migrated": journal.records_migrated,
        b"binlog-records-written": journal.records_written,
        b"draining": b"true" if draining else b"false",
    }
    return replies.STATS % values
