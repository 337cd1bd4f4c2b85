"""What a client knows of the jobs it has reserved, and the commands that need or change that.

Nothing here does input or output. A command is a `Request`, which updates the memory by itself when
its reply has come, whoever still waits for that. What takes more than one command is `Steps`: a
generator that yields requests and is sent their results, or thrown their errors.
"""

from collections.abc import Generator
from dataclasses import replace
from itertools import islice
from typing import Any, Final, TypeVar

from beanrow.client.job import BaseJob, id_of
from beanrow.client.stats import JobStats
from beanrow.errors import DeadlineSoon, NotFound
from beanrow.protocol import requests
from beanrow.protocol.requests import JobFound, Request
from beanrow.protocol.responses import Response

#: How many jobs are asked about, one after the other, when one of them has less than a second left.
DEADLINE_QUESTIONS: Final = 32

Result = TypeVar("Result")

Steps = Generator[Request[Any], Any, Result]


class Reservations:
    """The jobs that a connection has reserved, as far as it knows."""

    def __init__(self) -> None:
        # Ids, those first whose time to run began first; some may have timed out unnoticed.
        self._ids: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def reserve(self, timeout_s: int | None) -> Steps[JobFound | None]:
        """Reserve the next job; a DEADLINE_SOON is told with the ids it is about."""
        try:
            found: JobFound | None = yield requests.reserve(timeout_s).then(self._remember_found)
        except DeadlineSoon as error:
            job_ids = yield from self._near_deadline()
            raise DeadlineSoon(error.command, job_ids=job_ids) from None
        return found

    def reserve_job(self, job: int | BaseJob) -> Request[JobFound]:
        """Reserve this very job."""
        return requests.reserve_job(id_of(job)).then(self._remember_found)

    def touch(self, job: int | BaseJob) -> Request[None]:
        """Let the time to run of a job begin anew, and so become the last to end."""
        return requests.touch(id_of(job)).then(lambda _: self._remember(id_of(job)))

    def delete(self, job: int | BaseJob) -> Request[None]:
        """Remove a job."""
        return self._ending(job, requests.delete(id_of(job)))

    def release(self, job: int | BaseJob, priority: int, delay_s: int) -> Request[None]:
        """Give a job back."""
        return self._ending(job, requests.release(id_of(job), priority, delay_s))

    def bury(self, job: int | BaseJob, priority: int) -> Request[None]:
        """Put a job aside."""
        return self._ending(job, requests.bury(id_of(job), priority))

    def release_keeping(
        self, job: int | BaseJob, priority: int | None, delay_s: int
    ) -> Steps[None]:
        """Give a job back, with the priority that it has if none is given."""
        if priority is None:
            priority = yield from self._priority("release", job)
        yield self.release(job, priority, delay_s)

    def bury_keeping(self, job: int | BaseJob, priority: int | None) -> Steps[None]:
        """Put a job aside, with the priority that it has if none is given."""
        if priority is None:
            priority = yield from self._priority("bury", job)
        yield self.bury(job, priority)

    def _remember_found(self, found: Any) -> Any:
        if found is not None:
            self._remember(found.id)
        return found

    def _remember(self, job_id: int) -> None:
        self._ids.pop(job_id, None)
        self._ids[job_id] = None  # as the last one

    def _forget(self, job: int | BaseJob) -> None:
        self._ids.pop(id_of(job), None)
        if isinstance(job, BaseJob):
            job.reserved = False

    def _ending(self, job: int | BaseJob, request: Request[None]) -> Request[None]:
        """Make a command that ends a reservation, unless the server does not execute it."""

        def ended(response: Response) -> None:
            self._forget(job)
            request.result(response)

        words = (*request.expected, "NOT_FOUND", "BURIED")
        return replace(request, expected=dict.fromkeys(words, ended))

    def _priority(self, verb: str, job: int | BaseJob) -> Steps[int]:
        """Find out the priority that a job keeps when none is given.

        A job that is lost by then is told as `verb` would have told it.
        """
        try:
            stats: JobStats = yield job_stats(job)
        except NotFound:
            self._forget(job)
            raise NotFound(f"{verb} {id_of(job)}", id_of(job)) from None
        return stats.pri

    def _near_deadline(self) -> Steps[tuple[int, ...]]:
        """Find the jobs that a DEADLINE_SOON is about: it does not say, and neither did RESERVED
        say how long their time to run is. One reservation needs no question, several do.
        """
        if len(self._ids) == 1:
            return tuple(self._ids)
        near = []
        for job_id in sorted(islice(self._ids, DEADLINE_QUESTIONS)):
            if (yield from self._is_near_deadline(job_id)):
                near.append(job_id)  # noqa: PERF401 - a comprehension cannot yield
        return tuple(near)

    def _is_near_deadline(self, job_id: int) -> Steps[bool]:
        stats: JobStats | None
        try:
            stats = yield job_stats(job_id)
        except NotFound:
            stats = None
        if stats is None or stats.state != "reserved":
            self._forget(job_id)  # its time to run ended unnoticed
            return False
        return stats.time_left == 0


def job_stats(job: int | BaseJob) -> Request[JobStats]:
    """Ask for the state and the numbers of a job."""
    return requests.stats_job(id_of(job)).then(JobStats.from_document)
