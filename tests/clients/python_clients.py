"""The clients from PyPI, each as a mapping from the verbs of the story to its functions."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import aiostalk
import beanstalkc
import greenstalk
import pystalk
import yaml
from pystalkd.Beanstalkd import Connection as PystalkdConnection

from tests.clients.story import Verbs


@contextmanager
def greenstalk_verbs(host: str, port: int) -> Iterator[Verbs]:
    with greenstalk.Client((host, port)) as client:
        yield _like_greenstalk(client, finish=lambda result: result)


@contextmanager
def aiostalk_verbs(host: str, port: int) -> Iterator[Verbs]:
    """Greenstalk's functions as coroutines, each of which is run to its end here.

    Its kick_job forgets to await what it sends, so it is left out.
    """
    with asyncio.Runner() as runner:
        client = aiostalk.Client((host, port))
        runner.run(client.connect())
        try:
            verbs = dict(_like_greenstalk(client, finish=runner.run))
            del verbs["kick_job"]
            yield verbs
        finally:
            runner.run(client.close())


@contextmanager
def beanstalkc3_verbs(host: str, port: int) -> Iterator[Verbs]:
    # It would call yaml.load without a loader, which PyYAML no longer allows.
    client = beanstalkc.Connection(host, port, parse_yaml=yaml.safe_load)
    # Its close() leaves open the file through which it reads the socket.
    with closing(client), closing(client._socket_file):
        yield _like_beanstalkc(client, id_name="jid")


@contextmanager
def pystalkd_verbs(host: str, port: int) -> Iterator[Verbs]:
    with closing(PystalkdConnection(host, port)) as client:
        yield _like_beanstalkc(client, id_name="job_id")


@contextmanager
def pystalk_verbs(host: str, port: int) -> Iterator[Verbs]:
    """It has no touch, no reserve without a time-out, no peek by id, and lists only all tubes."""

    def job(call: Callable[..., Any]) -> Callable[..., object]:
        def found(*arguments: int) -> list[object] | None:
            try:
                job = call(*arguments)
            except pystalk.BeanstalkError as error:
                if error.message in {"NOT_FOUND", "TIMED_OUT"}:
                    return None
                raise
            return [job.job_id, job.job_data]

        return found

    with closing(pystalk.BeanstalkClient(host, port, auto_decode=True)) as client:
        yield {
            "bury": client.bury_job,
            "delete": client.delete_job,
            "ignore": client.ignore,
            "kick": lambda bound: client.kick_jobs(bound)[1],
            "kick_job": client.kick_job,
            "list_tubes": client.list_tubes,
            "pause_tube": client.pause_tube,
            "peek_buried": job(client.peek_buried),
            "peek_delayed": job(client.peek_delayed),
            "peek_ready": job(client.peek_ready),
            "put": lambda *arguments: client.put_job(*arguments)[1],
            "release": client.release_job,
            "reserve_with_timeout": job(client.reserve_job),
            "stats": client.stats,
            "stats_job": client.stats_job,
            "stats_tube": client.stats_tube,
            "use": client.use,
            "watch": client.watch,
        }


def _like_greenstalk(client: Any, finish: Callable[[Any], Any]) -> Verbs:
    """Greenstalk and aiostalk differ only in what `finish` does with the result of a call."""

    def plain(call: Callable[..., Any]) -> Callable[..., object]:
        return lambda *arguments: finish(call(*arguments))

    def reserved(call: Callable[..., Any]) -> Callable[..., object]:
        """These want the job itself, of which they use the id only."""
        return lambda job_id, *arguments: finish(call(greenstalk.Job(job_id, ""), *arguments))

    def job(call: Callable[..., Any]) -> Callable[..., object]:
        def found(*arguments: int) -> list[object] | None:
            try:
                job = finish(call(*arguments))
            except (greenstalk.NotFoundError, greenstalk.TimedOutError):
                return None
            return [job.id, job.body]

        return found

    return {
        "bury": reserved(client.bury),
        "delete": plain(client.delete),
        "ignore": plain(client.ignore),
        "kick": plain(client.kick),
        "kick_job": plain(client.kick_job),
        "list_tube_used": plain(client.using),
        "list_tubes": plain(client.tubes),
        "list_tubes_watched": plain(client.watching),
        "pause_tube": plain(client.pause_tube),
        "peek": job(client.peek),
        "peek_buried": job(client.peek_buried),
        "peek_delayed": job(client.peek_delayed),
        "peek_ready": job(client.peek_ready),
        "put": plain(client.put),
        "release": reserved(client.release),
        "reserve": job(client.reserve),
        "reserve_with_timeout": job(client.reserve),
        "stats": plain(client.stats),
        "stats_job": plain(client.stats_job),
        "stats_tube": plain(client.stats_tube),
        "touch": reserved(client.touch),
        "use": plain(client.use),
        "watch": plain(client.watch),
    }


def _like_beanstalkc(client: Any, id_name: str) -> Verbs:
    """Beanstalkc3 and pystalkd descend from one client; only their jobs name the id differently."""

    def job(call: Callable[..., Any]) -> Callable[..., object]:
        def found(*arguments: int) -> list[object] | None:
            job = call(*arguments)
            return None if job is None else [getattr(job, id_name), job.body]

        return found

    return {
        "bury": client.bury,
        "delete": client.delete,
        "ignore": client.ignore,
        "kick": client.kick,
        "kick_job": client.kick_job,
        "list_tube_used": client.using,
        "list_tubes": client.tubes,
        "list_tubes_watched": client.watching,
        "pause_tube": client.pause_tube,
        "peek": job(client.peek),
        "peek_buried": job(client.peek_buried),
        "peek_delayed": job(client.peek_delayed),
        "peek_ready": job(client.peek_ready),
        "put": client.put,
        "release": client.release,
        "reserve": job(client.reserve),
        "reserve_with_timeout": job(client.reserve),
        "stats": client.stats,
        "stats_job": client.stats_job,
        "stats_tube": client.stats_tube,
        "touch": client.touch,
        "use": client.use,
        "watch": client.watch,
    }
