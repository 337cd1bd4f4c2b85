"""What the engine counts over all tubes and sessions, so that no command has to walk them."""


class Totals:
    """Counters of one engine; the present ones go up and down, the others only up."""

    __slots__ = (
        "buried",
        "delayed",
        "producers",
        "reserved",
        "sessions",
        "timeouts",
        "total_jobs",
        "total_sessions",
        "urgent",
        "waiting",
        "workers",
    )

    def __init__(self) -> None:
        # Jobs at present; the ready ones are the rest of all jobs.
        self.urgent = 0
        self.reserved = 0
        self.delayed = 0
        self.buried = 0
        # Sessions at present: all, those that have put, those that have reserved, those
        # that wait for a job.
        self.sessions = 0
        self.producers = 0
        self.workers = 0
        self.waiting = 0
        # Since the start.
        self.total_jobs = 0
        self.total_sessions = 0
        self.timeouts = 0
