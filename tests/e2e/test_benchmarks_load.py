"""The load that benchmarks make: at a rate, on few of many connections, on Redis."""

import asyncio
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.cases import LARGE_BODY_BYTES, Case
from benchmarks.cores import choose_cores
from benchmarks.errors import BenchmarkError
from benchmarks.load import Load, build_load
from benchmarks.servers import BEANROW_COMMAND, HOST, Contender, Server, redis_contender, running
from tests.peers import RunningServer, lacks, require_peer


@pytest.fixture(scope="module")
def load() -> Load:
    try:
        return Load(build_load(), choose_cores())
    except BenchmarkError as error:
        lacks(str(error))


def as_measured(server: RunningServer) -> Server:
    return Server(server.pid, server.port, version="")


# --- at a rate ----------------------------------------------------------------------------------


def test_commands_are_spaced_over_the_time(load: Load, either_server: RunningServer) -> None:
    case = Case("", "cycle", 4, rate=500)
    measured = load.run(as_measured(either_server), case, units=100)
    assert measured.commands == 300
    assert measured.seconds > 298 / 500  # the last one is due then
    assert measured.missed == 0


def test_a_pause_of_the_server_delays_all_that_was_due_meanwhile(
    load: Load, either_server: RunningServer
) -> None:
    """Were only those counted that waited when it began, one command in 250 would be slow."""

    def pause() -> None:
        time.sleep(0.2)
        os.kill(either_server.pid, signal.SIGSTOP)
        time.sleep(0.4)
        os.kill(either_server.pid, signal.SIGCONT)

    thread = threading.Thread(target=pause)
    thread.start()
    try:
        case = Case("", "cycle", 4, rate=1000)
        measured = load.run(as_measured(either_server), case, seconds=1)
    finally:
        thread.join()
    assert measured.p50_us < 200_000
    assert 200_000 < measured.p90_us < measured.max_us < 1_000_000
    assert not measured.load_was_late


def test_what_the_server_had_no_time_for_is_counted(
    load: Load, either_server: RunningServer
) -> None:
    rate = 10_000_000.0
    case = Case("", "cycle", 1, rate=rate)
    measured = load.run(as_measured(either_server), case, seconds=0.1)
    assert measured.commands + measured.missed == pytest.approx(rate * 0.1, rel=0.01)
    assert measured.commands % 3 == 0
    assert measured.p50_us > 1000


def test_a_generator_that_is_stopped_says_that_it_was_late(
    load: Load, either_server: RunningServer
) -> None:
    def pause() -> None:
        time.sleep(0.2)
        (pid,) = children_called("load-")
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.4)
        os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=pause)
    thread.start()
    try:
        case = Case("", "cycle", 4, rate=1000)
        measured = load.run(as_measured(either_server), case, seconds=1)
    finally:
        thread.join()
    assert measured.late_p99_us > 200_000
    assert measured.load_was_late


def children_called(beginning: str) -> list[int]:
    own = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    children = [int(pid) for pid in own.read_text().split()]
    return [pid for pid in children if Path(f"/proc/{pid}/comm").read_text().startswith(beginning)]


# --- few of many connections --------------------------------------------------------------------


class Relay:
    """Stands between load and server, and notes who speaks."""

    def __init__(self) -> None:
        self.commands: list[int] = []  # of each connection
        self.waiting: set[int] = set()
        self.most_waiting = 0

    async def serve(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        number = len(self.commands)
        self.commands.append(0)
        reader, writer = await asyncio.open_connection(HOST, self.server_port)
        while command := await client.read(1000):
            self.commands[number] += 1
            self.waiting.add(number)
            self.most_waiting = max(self.most_waiting, len(self.waiting))
            writer.write(command)
            reply = await reader.read(1000)
            self.waiting.discard(number)
            answer.write(reply)
        writer.close()
        answer.close()

    @contextmanager
    def before(self, server: Server) -> Iterator[Server]:
        self.server_port = server.port
        ports: list[int] = []
        started, loop = threading.Event(), asyncio.new_event_loop()

        async def main() -> None:
            self.ended = asyncio.Event()
            async with await asyncio.start_server(self.serve, HOST, 0) as listening:
                ports.append(listening.sockets[0].getsockname()[1])
                started.set()
                await self.ended.wait()

        thread = threading.Thread(target=loop.run_until_complete, args=[main()])
        thread.start()
        started.wait()
        try:
            yield Server(server.pid, ports[0], version="")
        finally:
            loop.call_soon_threadsafe(self.ended.set)
            thread.join()
            loop.run_until_complete(asyncio.sleep(0.05))  # what is left of closed connections
            loop.close()


@pytest.mark.parametrize("rate", [None, 2000.0])
def test_few_connections_work_and_all_have_their_turn(
    load: Load, beanrow_server: RunningServer, rate: float | None
) -> None:
    relay = Relay()
    case = Case("", "cycle", connections=20, active=3, rate=rate)
    with relay.before(as_measured(beanrow_server)) as server:
        measured = load.run(server, case, units=100)
    assert measured.commands == 300
    assert relay.most_waiting <= 3
    # One exchange at first, then five units for each on average.
    assert len(relay.commands) == 20
    assert all(1 + 3 * 4 <= commands <= 1 + 3 * 6 for commands in relay.commands)


def test_many_connections_get_their_descriptors(load: Load) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 2100:
        pytest.skip(f"no more than {most} files can be open here")
    case = Case("", "cycle", connections=2000, active=20)
    with running(Contender("beanrow", BEANROW_COMMAND), None) as server:
        measured = load.run(server, case, units=3000)
    assert measured.commands == 9000


def test_bodies_can_be_large(load: Load, either_server: RunningServer) -> None:
    case = Case("", "cycle", 3, window=2, body_bytes=LARGE_BODY_BYTES)
    assert load.run(as_measured(either_server), case, units=50).commands == 150


# --- Redis --------------------------------------------------------------------------------------


def ask_redis(server: Server, command: bytes) -> bytes:
    with socket.create_connection((HOST, server.port), 5) as connection:
        connection.sendall(command + b"\r\n")
        return connection.recv(1000)


def test_redis_is_a_work_queue(load: Load) -> None:
    require_peer("redis")
    with running(redis_contender(), None) as server:
        assert server.version.count(".") == 2
        cycled = load.run(server, Case("", "cycle", 5, 10), units=500, warmup_units=100)
        assert cycled.commands == 1500
        assert ask_redis(server, b"DBSIZE") == b":0\r\n"
        assert b"cmdstat_lmove:calls=600," in ask_redis(server, b"INFO commandstats")
        load.run(server, Case("", "put", 3), units=40)
        assert ask_redis(server, b"LLEN default") == b":40\r\n"


BODY = b"abcdefghij"
RIGHT = [b":1\r\n", b"$10\r\n" + BODY + b"\r\n", b":1\r\n"]


@contextmanager
def answering(replies: list[bytes]) -> Iterator[Server]:
    """Run a server for one connection that gives these replies, whatever it is asked."""
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for reply in (b"+PONG\r\n", *replies):
                    if not connection.recv(1000):
                        return
                    connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Server(os.getpid(), listener.getsockname()[1], "", "redis")
        finally:
            thread.join()


@pytest.mark.parametrize(
    ("replies", "complaint"),
    [
        ([b"-OOM command not allowed\r\n"], 'reply to LPUSH: "-OOM command not allowed"'),
        ([b":\r\n"], 'unexpected reply to LPUSH: ":"'),
        ([RIGHT[0], b"$-1\r\n"], 'unexpected reply to LMOVE: "\\$-1"'),
        ([RIGHT[0], b"$9\r\n"], 'unexpected reply to LMOVE: "\\$9"'),
        ([RIGHT[0], b"$10\r\nabcdefghiJ\r\n"], "LMOVE gave another body than was put"),
        ([*RIGHT[:2], b":0\r\n"], 'unexpected reply to LREM: ":0"'),
        (RIGHT[:2], "closed a connection"),
    ],
)
def test_a_wrong_reply_of_redis_is_an_error(
    load: Load, replies: list[bytes], complaint: str
) -> None:
    case = Case("", "cycle", 1, body_bytes=len(BODY))
    with answering(replies) as server, pytest.raises(BenchmarkError, match=complaint):
        load.run(server, case, units=1)


def test_right_replies_of_redis_are_accepted(load: Load) -> None:
    with answering(RIGHT) as server:
        case = Case("", "cycle", 1, body_bytes=len(BODY))
        assert load.run(server, case, units=1).commands == 3
