"""Clients that send without reading: the server stops reading from them, and from nobody else."""

import contextlib
import select
import selectors
import socket
import threading
import time
from typing import cast

import pytest

from tests.abuse.observe import (
    MIB,
    ask,
    is_back_to_normal,
    normal_cycle,
    read_until,
    resident_bytes,
    stat,
)
from tests.peers import RunningServer, running_beanrow

PUTS = 100_000


def send_until_stuck(client: socket.socket, data: bytes, patience_s: float = 1.0) -> int:
    """Send as much as the server lets one send without reading; return how many bytes."""
    client.setblocking(False)
    sent = 0
    while sent < len(data) and select.select([], [client], [], patience_s)[1]:
        sent += client.send(data[sent : sent + MIB])
    client.settimeout(30.0)
    return sent


def slowest_cycle_s(server: RunningServer, count: int) -> float:
    slowest_s = 0.0
    for _ in range(count):
        began_s = time.monotonic()
        normal_cycle(server)
        slowest_s = max(slowest_s, time.monotonic() - began_s)
    return slowest_s


def test_puts_with_their_replies_unread(either_server: RunningServer) -> None:
    server = either_server
    normal_cycle(server)
    before_bytes = resident_bytes(server)
    data = b"put 0 0 100 4\r\nbody\r\n" * PUTS
    with server.connect() as client:
        sent = send_until_stuck(client, data)
        assert slowest_cycle_s(server, 20) < 1.0
        jobs = stat(server, "current-jobs-ready")
        # What the jobs themselves take, and a little for what is on its way.
        assert resident_bytes(server) - before_bytes < jobs * 1_000 + 8 * MIB
        sender = threading.Thread(target=client.sendall, args=(data[sent:],))
        sender.start()
        replies, count = b"", 0
        while count < PUTS:
            replies += client.recv(1 << 16)
            *complete, replies = replies.split(b"\r\n")
            for reply in complete:
                count += 1
                assert reply.startswith(b"INSERTED "), reply
        sender.join()
        assert replies == b""
        assert ask(client, b"list-tube-used\r\n") == b"USING default\r\n"
    assert stat(server, "current-jobs-ready") == PUTS
    is_back_to_normal(server)


@pytest.mark.parametrize(
    "request_line", [b"stats\r\n", b"peek 1\r\n", b"list-tubes\r\n", b"x\r\n"], ids=repr
)
def test_long_replies_unread(either_server: RunningServer, request_line: bytes) -> None:
    server = either_server
    with server.connect() as client:
        ask(client, b"put 0 0 100 60000\r\n" + b"x" * 60_000 + b"\r\n")
    normal_cycle(server)
    before_bytes = resident_bytes(server)
    with server.connect() as client:
        sent = send_until_stuck(client, request_line * (8 * MIB // len(request_line)))
        assert sent < 8 * MIB or request_line == b"x\r\n"
        assert slowest_cycle_s(server, 20) < 1.0
        assert resident_bytes(server) - before_bytes < 8 * MIB
    is_back_to_normal(server)


def test_commands_behind_a_waiting_reserve_are_bounded(either_server: RunningServer) -> None:
    server = either_server
    normal_cycle(server)
    before_bytes = resident_bytes(server)
    line = b"list-tube-used\r\n"
    with server.connect() as client:
        sent = send_until_stuck(client, b"reserve\r\n" + line * (16 * MIB // len(line)))
        assert sent < 16 * MIB
        assert resident_bytes(server) - before_bytes < 4 * MIB
        with server.connect() as other:
            assert ask(other, b"put 0 0 100 1\r\nx\r\n").startswith(b"INSERTED ")
        replies = client.recv(1 << 16)
        assert replies.startswith(b"RESERVED ")
    is_back_to_normal(server)


def test_eight_floods_at_once() -> None:
    with running_beanrow() as server:
        normal_cycle(server)
        before_bytes = resident_bytes(server)
        data = b"stats\r\n" * (MIB // 7)
        clients = [server.connect() for _ in range(8)]
        senders = [
            threading.Thread(target=send_until_stuck, args=(client, data)) for client in clients
        ]
        for sender in senders:
            sender.start()
        assert slowest_cycle_s(server, 50) < 1.0
        for sender in senders:
            sender.join()
        assert resident_bytes(server) - before_bytes < 24 * MIB
        for client in clients:
            client.close()
        is_back_to_normal(server)


def test_who_waits_beside_many_busy_clients_is_warned_in_time() -> None:
    """Deadlines are kept however much others send, and however fast they read."""
    with running_beanrow() as server, selectors.DefaultSelector() as selector:
        touches = b"touch 1\r\n" * 3_600
        for _ in range(200):
            client = server.connect()
            client.setblocking(False)
            selector.register(client, selectors.EVENT_READ | selectors.EVENT_WRITE)
        with server.connect() as worker:
            ask(worker, b"put 0 0 3 1\r\nx\r\n")
            ask(worker, b"reserve\r\n", b"x\r\n")
            worker.sendall(b"reserve\r\n")
            give_up_at_s = time.monotonic() + 10.0
            while time.monotonic() < give_up_at_s and not select.select([worker], [], [], 0)[0]:
                for key, ready in selector.select(0.1):
                    busy = cast("socket.socket", key.fileobj)
                    with contextlib.suppress(BlockingIOError):
                        if ready & selectors.EVENT_READ:
                            busy.recv(MIB)
                        if ready & selectors.EVENT_WRITE:
                            busy.send(touches)
            assert read_until(worker) == b"DEADLINE_SOON\r\n"
            assert ask(worker, b"touch 1\r\n") == b"TOUCHED\r\n", "the warning came too late"
            assert ask(worker, b"delete 1\r\n") == b"DELETED\r\n"
        for key in list(selector.get_map().values()):
            cast("socket.socket", key.fileobj).close()
        is_back_to_normal(server)
