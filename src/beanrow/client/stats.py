"""The stats of a server, a tube and a job, with a type for every value.

Each field is named as the server names its key, with `_` for `-`; times are in seconds. A field
without a default has to be there; those with a default were added by later versions of beanstalkd.
Keys that only other servers know are kept, as text, in `extra`.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Final, Self

from beanrow.errors import ProtocolError

_PARSERS: Final[Mapping[Any, Callable[[str], Any]]] = {
    int: int,
    float: float,
    str: str,
    bool: {"true": True, "false": False}.__getitem__,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What the three documents have in common."""

    extra: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_document(cls, document: Mapping[str, str]) -> Self:
        """Give the values of a document their types.

        Raises ProtocolError for a missing key, and for a value that is not of its type.
        """
        rest = dict(document)
        values: dict[str, Any] = {}
        for declared in fields(cls):
            if declared.name == "extra":
                continue
            key = declared.name.replace("_", "-")
            if key in rest:
                values[declared.name] = _typed(key, rest.pop(key), declared.type)
            elif declared.default is MISSING:
                raise ProtocolError(f"the stats lack the key {key!r}")
        return cls(extra=rest, **values)


def _typed(key: str, text: str, kind: Any) -> Any:
    try:
        return _PARSERS[kind](text)
    except (ValueError, KeyError) as error:
        raise ProtocolError(f"stats: {key}: {text!r} is no {kind.__name__}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStats(Stats):
    """One job. `state` is ready, delayed, reserved or buried.

    `time_left` is the rest of the time to run if the job is reserved, of the delay if delayed.
    """

    id: int
    tube: str
    state: str
    pri: int
    age: int
    delay: int
    ttr: int
    time_left: int
    file: int
    reserves: int
    timeouts: int
    releases: int
    buries: int
    kicks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TubeStats(Stats):
    """One tube: its jobs by state now, its clients, and what was done since it came to be."""

    name: str
    current_jobs_urgent: int
    current_jobs_ready: int
    current_jobs_reserved: int
    current_jobs_delayed: int
    current_jobs_buried: int
    total_jobs: int
    current_using: int
    current_watching: int
    current_waiting: int
    cmd_delete: int
    cmd_pause_tube: int
    pause: int
    pause_time_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStats(Stats):
    """The whole server: its jobs by state now, what was done since its start, and what it is."""

    current_jobs_urgent: int
    current_jobs_ready: int
    current_jobs_reserved: int
    current_jobs_delayed: int
    current_jobs_buried: int
    cmd_put: int
    cmd_peek: int
    cmd_peek_ready: int
    cmd_peek_delayed: int
    cmd_peek_buried: int
    cmd_reserve: int
    cmd_reserve_with_timeout: int
    cmd_delete: int
    cmd_release: int
    cmd_use: int
    cmd_watch: int
    cmd_ignore: int
    cmd_bury: int
    cmd_kick: int
    cmd_touch: int
    cmd_stats: int
    cmd_stats_job: int
    cmd_stats_tube: int
    cmd_list_tubes: int
    cmd_list_tube_used: int
    cmd_list_tubes_watched: int
    cmd_pause_tube: int
    job_timeouts: int
    total_jobs: int
    max_job_size: int
    current_tubes: int
    current_connections: int
    current_producers: int
    current_workers: int
    current_waiting: int
    total_connections: int
    pid: int
    version: str
    rusage_utime: float
    rusage_stime: float
    uptime: int
    binlog_oldest_index: int
    binlog_current_index: int
    binlog_records_migrated: int
    binlog_records_written: int
    binlog_max_size: int
    draining: bool = False
    id: str = ""
    hostname: str = ""
    os: str = ""
    platform: str = ""
