"""One connection in several hands: it is closed from outside, or speaks for one and not for two."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

import beanrow
from beanrow import Connection
from tests.peers import RunningServer


@pytest.fixture
def queue(either_server: RunningServer) -> Iterator[Connection]:
    with Connection(either_server.host, either_server.port) as connection:
        yield connection


@pytest.fixture
def onlooker(either_server: RunningServer) -> Iterator[Connection]:
    with Connection(either_server.host, either_server.port) as connection:
        yield connection


@pytest.fixture
def worker() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def wait_for_waiting(onlooker: Connection, clients: int) -> None:
    while onlooker.stats().current_waiting != clients:
        time.sleep(0.01)


def test_a_connection_closed_in_another_thread_ends_what_waits(
    queue: Connection, onlooker: Connection, worker: ThreadPoolExecutor
) -> None:
    waiting: Future[object] = worker.submit(queue.reserve)
    wait_for_waiting(onlooker, 1)
    queue.close()
    with pytest.raises(beanrow.ConnectionClosed, match=r"^reserve: .* was closed meanwhile"):
        waiting.result(timeout=10)
    assert queue._stream._socket.fileno() == -1
    wait_for_waiting(onlooker, 0)
    with pytest.raises(beanrow.ConnectionClosed, match=r"stats: not sent, .* was closed; open"):
        queue.stats()


def test_a_second_thread_is_refused_and_does_no_harm(
    queue: Connection, onlooker: Connection, worker: ThreadPoolExecutor
) -> None:
    waiting = worker.submit(queue.reserve, 30)
    wait_for_waiting(onlooker, 1)
    for use in (lambda: queue.put("theirs"), queue.quit):
        with pytest.raises(beanrow.ConnectionShared, match="a connection for each thread"):
            use()
    onlooker.put("ours")
    job = waiting.result(timeout=10)
    assert job is not None
    assert job.body == b"ours"
    assert queue.using() == "default"


def test_threads_that_take_turns_may_share(queue: Connection) -> None:
    turn = threading.Lock()

    def put(body: str) -> int:
        with turn:
            return queue.put(body)

    with ThreadPoolExecutor(4) as executor:
        assert sorted(executor.map(put, "abcdefgh")) == list(range(1, 9))


def test_a_child_process_is_refused_and_does_no_harm(queue: Connection) -> None:
    queue.put("a")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with queue:
                queue.put("b")
        except beanrow.ConnectionShared as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        assert b"put 2147483648 0 120 1: not sent, " in (message := told.read())
    assert b"open one in each process" in message
    os.waitpid(child, 0)
    # The child's `with` has closed its copy of the socket, and no more.
    assert queue.put("c") == 2
