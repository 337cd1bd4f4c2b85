"""Many clients, silent clients, slow clients, and clients that vanish."""

import random
import resource
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.abuse.observe import (
    MIB,
    ask,
    cpu_s,
    descriptors_for,
    is_back_to_normal,
    normal_cycle,
    read_to_end,
    read_until,
    resident_bytes,
    stat,
    wait_until,
)
from tests.peers import RunningServer, running_beanrow

IDLE_CLIENTS = 2_000

HALF_COMMANDS = [
    b"r",
    b"reserve",
    b"reserve\r",
    b"put 0 0 100 1",
    b"put 0 0 100 1\r",
    b"put 0 0 100 5\r\n",
    b"put 0 0 100 5\r\nab",
    b"put 0 0 100 5\r\nabcde\r",
    b"put 0 0 100 99999\r\nab",
    b"x" * 223,
    b"x" * 224,
    b"x" * 5_000,
    b"use half\r\nput 0 0 100 5\r\nabcd",
    b"watch half\r\nreserve-with-timeout",
]


def test_idle_clients_cost_little(either_server: RunningServer) -> None:
    server = either_server
    normal_cycle(server)
    before_bytes = resident_bytes(server)
    with descriptors_for(IDLE_CLIENTS), ExitStack() as stack:
        for _ in range(IDLE_CLIENTS):
            stack.enter_context(server.connect())
        wait_until(lambda: stat(server, "current-connections") == IDLE_CLIENTS + 1)
        assert (resident_bytes(server) - before_bytes) / IDLE_CLIENTS < 8_192
        idle_from_s = cpu_s(server)
        time.sleep(0.5)
        assert cpu_s(server) - idle_from_s <= 0.05
        for _ in range(100):
            normal_cycle(server)
    is_back_to_normal(server)


def test_half_commands_hold_up_nobody(either_server: RunningServer) -> None:
    server = either_server
    with ExitStack() as stack:
        for half in HALF_COMMANDS * 20:
            stack.enter_context(server.connect()).sendall(half)
        for _ in range(20):
            normal_cycle(server)
    is_back_to_normal(server)
    assert stat(server, "current-jobs-ready") == 0


def test_a_client_that_sends_a_byte_at_a_time(either_server: RunningServer) -> None:
    server = either_server
    script = (
        b"use slow\r\nput 5 0 100 7\r\nab\r\n\0cd\r\nwatch slow\r\nreserve\r\n"
        b"put 0 0 100 2\r\nabXYnonsense\r\n"
        + b"x" * 222
        + b"\r\nbury 1 7\r\nkick 1\r\ndelete 1\r\nquit\r\n"
    )
    with server.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for position in range(len(script)):
            client.sendall(script[position : position + 1])
        assert read_to_end(client) == (
            b"USING slow\r\nINSERTED 1\r\nWATCHING 2\r\nRESERVED 1 7\r\nab\r\n\0cd\r\n"
            b"EXPECTED_CRLF\r\nUNKNOWN_COMMAND\r\nUNKNOWN_COMMAND\r\n"
            b"BURIED\r\nKICKED 1\r\nDELETED\r\n"
        )
    is_back_to_normal(server)


def reset(client: socket.socket) -> None:
    """Close a connection so that the server gets an error instead of an end."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_resets_in_every_state(either_server: RunningServer) -> None:
    server = either_server
    beginnings = [
        b"",
        b"list-tub",
        b"put 0 0 100 5\r\nab",
        b"put 0 0 100 99999\r\n" + b"x" * 20_000,
        b"reserve\r\n",
        b"reserve-with-timeout 1000\r\nreserve\r\nlist-tubes\r\n",
        b"use r\r\nwatch r\r\nput 0 0 100 1\r\nx\r\nreserve\r\nreserve\r\n",
        b"stats\r\n" * 500,
        b"quit\r\n",
    ]
    for beginning in beginnings * 20:
        client = server.connect()
        client.sendall(beginning)
        reset(client)
    is_back_to_normal(server)


def test_clients_that_come_and_go_leave_nothing(either_server: RunningServer) -> None:
    server = either_server
    for _ in range(500):
        normal_cycle(server)
    before_bytes = resident_bytes(server)
    for _ in range(2_000):
        normal_cycle(server)
    assert resident_bytes(server) - before_bytes < MIB
    is_back_to_normal(server)


def test_a_reset_gives_the_jobs_back(either_server: RunningServer) -> None:
    with either_server.connect() as client:
        ask(client, b"put 0 0 100 1\r\nx\r\n")
        other = either_server.connect()
        ask(other, b"reserve\r\n", b"x\r\n")
        client.sendall(b"reserve\r\n")
        reset(other)
        assert read_until(client, b"x\r\n") == b"RESERVED 1 1\r\nx\r\n"


def noise(rng: random.Random) -> bytes:
    """Bytes that look a little like commands."""
    words = [
        b"put 0 0 100 ", b"reserve-with-timeout 0", b"delete ", b"release ", b"kick ", b"use ",
        b"watch ", b"ignore ", b"stats", b"peek-ready", b"pause-tube ", b"list-tubes", b"bury ",
        b"0", b"1", b" ", b"  ", b"4294967296", b"-1", b"default", b"\r", b"\n",
        b"\r\n", b"\r\n", b"\r\n",
    ]  # fmt: skip
    kinds: list[Callable[[], bytes]] = [
        lambda: rng.randbytes(rng.randrange(1, 40)),
        lambda: rng.choice(words),
        lambda: rng.choice(words),
        lambda: rng.choice(words),
    ]
    return b"".join(rng.choice(kinds)() for _ in range(rng.randrange(1, 200)))


@pytest.mark.parametrize("seed", range(5))
def test_noise(either_server: RunningServer, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(100):
        with either_server.connect() as client:
            client.sendall(noise(rng))
            client.shutdown(socket.SHUT_WR)
            if rng.random() < 0.5:
                read_to_end(client)
    is_back_to_normal(either_server)


def test_out_of_descriptors() -> None:
    with running_beanrow() as server, ExitStack() as stack:
        normal_cycle(server)
        limit = 40
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, limit))
        clients = [stack.enter_context(server.connect(timeout_s=10.0)) for _ in range(limit)]
        for client in clients:
            client.sendall(b"list-tube-used\r\n")
        wait_until(lambda: "no room for more clients" in server.log_text())

        served = clients[:10]
        for client in served:
            assert read_until(client) == b"USING default\r\n"
            assert ask(client, b"put 0 0 100 1\r\nx\r\n").startswith(b"INSERTED ")
        busy_from_s = cpu_s(server)
        time.sleep(1.0)
        assert cpu_s(server) - busy_from_s < 0.1
        assert server.log_text().count("no room for more clients") < 10

        left_out = clients[-1]
        left_out.settimeout(0.05)
        with pytest.raises(TimeoutError):
            left_out.recv(1)
        for client in served:
            client.close()
        left_out.settimeout(10.0)
        assert read_until(left_out) == b"USING default\r\n"
        stack.close()
        is_back_to_normal(server)


def test_an_endless_line_takes_no_memory(either_server: RunningServer) -> None:
    server = either_server
    normal_cycle(server)
    before_bytes = resident_bytes(server)
    with server.connect() as client:
        for _ in range(20):
            client.sendall(b"x" * MIB)
        normal_cycle(server)
        assert resident_bytes(server) - before_bytes < 4 * MIB
        assert ask(client, b"\r\n") == b"BAD_FORMAT\r\n"
        assert ask(client, b"list-tube-used\r\n") == b"USING default\r\n"
    is_back_to_normal(server)
