"""Who syncs when. Threads are real; what they wait for is told them, so no test waits for time."""

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from beanrow.journal.syncer import InlineSyncer, ThreadSyncer

ENDLESS_NS = 3600 * 10**9


class SlowDisk:
    """Each sync is under way until `go_on` lets it end."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.count = 0
        self.threads: set[int] = set()

    def sync(self) -> None:
        self.count += 1
        self.threads.add(threading.get_ident())
        self.began.release()
        assert self.may_end.acquire(timeout=30)

    def wait_for_beginning(self) -> None:
        assert self.began.acquire(timeout=30)

    def go_on(self) -> None:
        self.may_end.release()


@pytest.fixture
def syncer() -> Iterator[ThreadSyncer]:
    syncer = ThreadSyncer()
    yield syncer
    syncer.close()


def wait_until(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.001)


def test_inline_it_is_done_when_the_request_returns() -> None:
    calls = []
    syncer = InlineSyncer()
    syncer.start(lambda: calls.append(threading.get_ident()), 0)
    syncer.request()
    syncer.request()
    syncer.close()
    assert calls == [threading.get_ident()] * 2


def test_the_caller_does_not_wait(syncer: ThreadSyncer) -> None:
    disk = SlowDisk()
    syncer.start(disk.sync, 0)
    syncer.request()
    disk.wait_for_beginning()
    assert threading.get_ident() not in disk.threads
    disk.go_on()


def test_requests_during_a_sync_share_the_next(syncer: ThreadSyncer) -> None:
    disk = SlowDisk()
    syncer.start(disk.sync, 0)
    syncer.request()
    disk.wait_for_beginning()
    for _ in range(5):
        syncer.request()
    disk.go_on()
    disk.wait_for_beginning()
    disk.go_on()
    syncer.close()
    assert disk.count == 2


def test_without_a_request_nothing_is_synced(syncer: ThreadSyncer) -> None:
    disk = SlowDisk()
    syncer.start(disk.sync, 0)
    syncer.close()
    assert disk.count == 0


def test_the_first_request_is_served_at_once_the_next_after_the_interval(
    syncer: ThreadSyncer,
) -> None:
    moments = []
    syncer.start(lambda: moments.append(time.monotonic_ns()), 20_000_000)
    for count in range(1, 4):
        syncer.request()
        wait_until(lambda count=count: len(moments) >= count)  # type: ignore[misc]
    assert all(later - sooner >= 20_000_000 for sooner, later in pairwise(moments))


def test_it_can_be_closed_in_the_middle_of_an_interval(syncer: ThreadSyncer) -> None:
    calls: list[None] = []
    syncer.start(lambda: calls.append(None), ENDLESS_NS)
    syncer.request()
    wait_until(lambda: len(calls) == 1)
    syncer.request()
    syncer.close()
    assert len(calls) == 1


def test_closing_waits_for_the_sync_under_way(syncer: ThreadSyncer) -> None:
    disk = SlowDisk()
    syncer.start(disk.sync, 0)
    syncer.request()
    disk.wait_for_beginning()
    closer = threading.Thread(target=syncer.close)
    closer.start()
    closer.join(timeout=0.05)
    assert closer.is_alive()
    disk.go_on()
    closer.join(timeout=30)
    assert not closer.is_alive()


def test_one_that_was_never_started_can_be_closed() -> None:
    ThreadSyncer().close()
