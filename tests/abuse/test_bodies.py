"""Bodies: exactly as large as allowed, one byte larger, promised but never sent, and enormous."""

import resource
from contextlib import ExitStack

import pytest

from tests.abuse.observe import (
    MIB,
    Running,
    address_space_bytes,
    ask,
    is_back_to_normal,
    normal_cycle,
    read_until,
    resident_bytes,
)
from tests.peers import RunningServer, running_beanrow, running_beanstalkd

DEFAULT_MAX_BYTES = 65_535
LARGEST_MAX_BYTES = 1 << 30


def put(body: bytes) -> bytes:
    return b"put 0 0 100 %d\r\n%s\r\n" % (len(body), body)


def test_exactly_the_limit_and_one_more(either_server: RunningServer) -> None:
    exact = (bytes(range(256)) * 256)[:DEFAULT_MAX_BYTES]
    with either_server.connect() as client:
        assert ask(client, put(exact)) == b"INSERTED 1\r\n"
        assert ask(client, put(exact + b"x")) == b"JOB_TOO_BIG\r\n"
        assert ask(client, put(b"")) == b"INSERTED 2\r\n"
        reserved = ask(client, b"reserve\r\n", exact[-1:] + b"\r\n")
        assert reserved == b"RESERVED 1 %d\r\n%s\r\n" % (DEFAULT_MAX_BYTES, exact)
    is_back_to_normal(either_server)


@pytest.mark.parametrize("running", [running_beanrow, running_beanstalkd])
def test_other_limits(running: Running) -> None:
    for limit in (1, 100, 3 * MIB):
        with running("-z", str(limit)) as server, server.connect() as client:
            assert ask(client, put(b"x" * limit)) == b"INSERTED 1\r\n"
            assert ask(client, put(b"x" * (limit + 1))) == b"JOB_TOO_BIG\r\n"
            assert ask(client, b"delete 1\r\n") == b"DELETED\r\n"


def test_a_refused_body_takes_no_memory(either_server: RunningServer) -> None:
    server = either_server
    normal_cycle(server)
    before_bytes = resident_bytes(server)
    with server.connect() as client:
        client.sendall(b"put 0 0 100 %d\r\n" % (50 * MIB))
        for _ in range(50):
            client.sendall(b"x" * MIB)
        normal_cycle(server)
        assert resident_bytes(server) - before_bytes < 4 * MIB
        assert ask(client, b"\r\n") == b"JOB_TOO_BIG\r\n"
    is_back_to_normal(server)


@pytest.mark.parametrize("running", [running_beanrow, running_beanstalkd])
def test_a_promised_body_takes_no_memory_until_it_comes(running: Running) -> None:
    with running("-z", str(LARGEST_MAX_BYTES)) as server, ExitStack() as stack:
        normal_cycle(server)
        before_bytes = resident_bytes(server)
        for _ in range(8):
            client = stack.enter_context(server.connect())
            client.sendall(b"put 0 0 100 %d\r\nx" % (LARGEST_MAX_BYTES // 8))
        normal_cycle(server)
        assert resident_bytes(server) - before_bytes < 16 * MIB
        stack.close()
        is_back_to_normal(server)


@pytest.mark.parametrize("running", [running_beanrow, running_beanstalkd])
def test_a_body_that_memory_cannot_hold(running: Running) -> None:
    body_mib = 256
    with running("-z", str(LARGEST_MAX_BYTES)) as server:
        normal_cycle(server)
        limit = address_space_bytes(server) + 64 * MIB
        resource.prlimit(server.pid, resource.RLIMIT_AS, (limit, limit))
        with server.connect(timeout_s=30.0) as client, server.connect() as other:
            client.sendall(b"put 0 0 100 %d\r\n" % (body_mib * MIB))
            for _ in range(body_mib):
                client.sendall(b"x" * MIB)
                assert ask(other, b"list-tube-used\r\n") == b"USING default\r\n"
            client.sendall(b"\r\n")
            assert read_until(client) == b"OUT_OF_MEMORY\r\n"
            assert ask(client, put(b"x")).startswith(b"INSERTED ")
            assert ask(client, put(b"x" * MIB)).startswith(b"INSERTED ")
        is_back_to_normal(server)


def test_a_reply_that_memory_cannot_hold_ends_only_its_client() -> None:
    body_bytes = 80 * MIB
    with running_beanrow("-z", str(LARGEST_MAX_BYTES)) as server, ExitStack() as stack:
        with server.connect(timeout_s=30.0) as client:
            assert ask(client, put(b"x" * body_bytes)) == b"INSERTED 1\r\n"
        limit = address_space_bytes(server) + 300 * MIB
        resource.prlimit(server.pid, resource.RLIMIT_AS, (limit, limit))
        greedy = [stack.enter_context(server.connect(timeout_s=30.0)) for _ in range(12)]
        for client in greedy:
            client.sendall(b"peek 1\r\n")
        normal_cycle(server)
        # Some get their reply, the others are closed; the job is still there.
        stack.close()
        with server.connect(timeout_s=30.0) as client:
            reply = ask(client, b"peek 1\r\n", b"x\r\n")
            assert reply.startswith(b"FOUND 1 %d\r\n" % body_bytes)
        is_back_to_normal(server)
