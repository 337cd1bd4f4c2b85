"""What only the asyncio client has: opening, tasks that share it, and being cancelled at any time.

That it does what the blocking client does is in test_client.py and test_client_faults.py.
"""

# What is waited for happens in another process, or deep inside the client.
# ruff: noqa: ASYNC110

import asyncio
import inspect
import random
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import beanrow
from beanrow import aio
from beanrow.client.flight import MAX_COMMANDS
from tests.e2e.misbehaving import answering, misbehaving
from tests.e2e.on_a_loop import on_a_loop
from tests.peers import RunningServer

#: The client is the same in both builds.
pytestmark = pytest.mark.any_build


def connecting(server: RunningServer) -> aio.Connection:
    return aio.Connection(server.host, server.port, io_timeout=10)


@asynccontextmanager
async def waiting_reserve(
    server: RunningServer, queue: aio.Connection
) -> AsyncIterator[tuple[asyncio.Task[aio.Job], beanrow.Connection]]:
    """A task whose reserve waits in the server, and another client."""
    with beanrow.Connection(server.host, server.port) as onlooker:
        task = asyncio.create_task(queue.reserve())
        await until_waiting(onlooker, 1)
        yield task, onlooker


async def until_waiting(onlooker: beanrow.Connection, clients: int) -> None:
    while onlooker.stats().current_waiting != clients:
        await asyncio.sleep(0.01)


async def until_sent(queue: aio.Connection) -> None:
    while queue._wire._flight.silent:
        await asyncio.sleep(0)


# --- beside the blocking client -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocking", "awaited"),
    [
        (beanrow.Connection, aio.Connection),
        (beanrow.Job, aio.Job),
        (beanrow.Pipeline, aio.Pipeline),
    ],
)
def test_names_arguments_and_defaults_are_those_of_the_blocking_client(
    blocking: type, awaited: type
) -> None:
    def public(kind: type) -> dict[str, object]:
        return {
            name: [
                (parameter.name, parameter.default, parameter.kind)
                for parameter in inspect.signature(getattr(kind, name)).parameters.values()
            ]
            if callable(getattr(kind, name))
            else None
            for name in dir(kind)
            if not name.startswith("_")
        }

    assert public(blocking) == public(awaited)


def test_connections_are_made_with_the_same_arguments() -> None:
    assert inspect.signature(beanrow.Connection) == inspect.signature(aio.Connection)


@on_a_loop
async def test_the_first_example(either_server: RunningServer) -> None:
    async with aio.Connection(either_server.host, str(either_server.port)) as queue:
        assert await queue.put("hello world", priority=1000, ttr=10) == 1
        async with await queue.reserve(timeout=5) or pytest.fail("no job") as job:
            assert (job.id, job.body) == (1, b"hello world")
        assert await queue.reserve(timeout=0) is None
    assert queue.closed


# --- opening and closing ------------------------------------------------------------------------


@on_a_loop
async def test_a_connection_is_opened_by_await_or_by_its_block(
    beanrow_server: RunningServer,
) -> None:
    queue = await connecting(beanrow_server)
    assert await queue is queue
    assert not queue.closed
    async with queue as same:
        assert same is queue
        assert await queue.using() == "default"
    with pytest.raises(beanrow.ConnectionClosed, match=r"not sent, .* was closed; open"):
        await queue.using()
    await queue.close()


@on_a_loop
async def test_a_connection_that_was_not_opened_says_so() -> None:
    queue = aio.Connection()
    assert queue.closed
    with pytest.raises(beanrow.ConnectionClosed, match="has not been opened: await it"):
        await queue.put("a")
    await queue.close()
    await queue.quit()


@on_a_loop
async def test_a_connection_is_opened_by_one_task(beanrow_server: RunningServer) -> None:
    queue = connecting(beanrow_server)
    opened = await asyncio.gather(queue._open(), queue._open(), return_exceptions=True)
    assert opened[0] is queue
    assert isinstance(opened[1], beanrow.ConnectionShared)
    await queue.close()


@on_a_loop
async def test_opening_can_be_cancelled() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await aio.Connection(port=port)


@on_a_loop
async def test_closing_ends_what_other_tasks_wait_for(beanrow_server: RunningServer) -> None:
    async with (
        connecting(beanrow_server) as queue,
        waiting_reserve(beanrow_server, queue) as (waiting, onlooker),
    ):
        await queue.close()
        with pytest.raises(beanrow.ConnectionClosed, match=r"^reserve: .* was closed before"):
            await waiting
        await until_waiting(onlooker, 0)


def test_a_connection_belongs_to_its_loop(beanrow_server: RunningServer) -> None:
    async def use() -> str:
        return await queue.using()

    with asyncio.Runner() as runner:
        queue = runner.run(connecting(beanrow_server)._open())
        with pytest.raises(beanrow.ConnectionShared, match="another event loop"):
            asyncio.run(use())
        asyncio.set_event_loop(runner.get_loop())
        assert runner.run(use()) == "default"
        runner.run(queue.close())


def test_a_program_may_end_in_a_reserve(beanrow_server: RunningServer) -> None:
    async def main() -> None:
        queue = await connecting(beanrow_server)
        async with asyncio.timeout(0.05):
            await queue.reserve()

    with pytest.raises(TimeoutError):
        asyncio.run(main())


# --- tasks that share a connection --------------------------------------------------------------


@on_a_loop
async def test_commands_of_many_tasks_get_their_own_replies(either_server: RunningServer) -> None:
    async with connecting(either_server) as queue:
        bodies = [b"%d" % number for number in range(3000)]
        ids = await asyncio.gather(*map(queue.put, bodies))
        assert ids == list(range(1, 3001))
        found = await asyncio.gather(*map(queue.peek, ids))
        assert [job and job.body for job in found] == bodies


@on_a_loop
async def test_nothing_is_sent_behind_a_reserve_that_waits(either_server: RunningServer) -> None:
    async with connecting(either_server) as queue:
        async with waiting_reserve(either_server, queue) as (waiting, onlooker):
            for use in (queue.put("theirs"), queue.reserve(), queue.quit()):
                with pytest.raises(beanrow.ConnectionShared, match="a connection for each task"):
                    await use
            onlooker.put("ours")
            assert (await waiting).body == b"ours"
        assert await queue.using() == "default"


@on_a_loop
async def test_a_reserve_may_follow_what_is_under_way(either_server: RunningServer) -> None:
    async with connecting(either_server) as queue:
        put, job = await asyncio.gather(queue.put("a"), queue.reserve())
        assert job.id == put


# --- being cancelled ----------------------------------------------------------------------------


@on_a_loop
async def test_a_reserve_cancelled_before_it_was_sent_is_not_sent() -> None:
    received = bytearray()

    def behave(accepted: socket.socket) -> None:
        while data := accepted.recv(65536):
            received.extend(data)

    with misbehaving(behave) as port:
        async with aio.Connection(port=port) as queue:
            puts = [asyncio.create_task(queue.put("a")) for _ in range(MAX_COMMANDS)]
            while len(queue._wire._flight) < MAX_COMMANDS:
                await asyncio.sleep(0)
            reserve = asyncio.create_task(queue.reserve())
            late = asyncio.create_task(queue.put("late"))
            await asyncio.sleep(0.05)
            reserve.cancel()
            assert await asyncio.wait([reserve])
            assert reserve.cancelled()
            assert not queue.closed
        results = await asyncio.gather(*puts, late, return_exceptions=True)
    assert {type(result) for result in results} == {beanrow.ConnectionClosed}
    assert "not sent" in str(results[-1])
    assert received.count(b"put ") == MAX_COMMANDS
    assert b"reserve" not in received


@on_a_loop
async def test_a_reserve_cancelled_while_it_waits_gives_its_place_back(
    either_server: RunningServer,
) -> None:
    async with connecting(either_server) as queue:
        async with waiting_reserve(either_server, queue) as (waiting, onlooker):
            waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled()
            assert queue.closed
            await until_waiting(onlooker, 0)
            onlooker.put("a")
            assert onlooker.reserve().body == b"a"
        with pytest.raises(beanrow.ConnectionClosed, match="because a reserve was cancelled"):
            await queue.using()


@on_a_loop
async def test_a_job_that_had_come_when_its_reserve_was_cancelled_is_given_back(
    either_server: RunningServer,
) -> None:
    async with (
        connecting(either_server) as queue,
        waiting_reserve(either_server, queue) as (waiting, onlooker),
    ):
        job_id = onlooker.put("a")
        while not queue._wire._flight.empty:
            await asyncio.sleep(0)
        # The reply has been read; the task will learn it when the loop comes to it.
        assert not waiting.done()
        assert job_id in queue._reservations._ids
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        job = onlooker.reserve(timeout=5)
        assert job is not None
        assert job.id == job_id


@on_a_loop
async def test_a_reserve_cancelled_when_it_had_got_nothing_does_no_harm(
    either_server: RunningServer,
) -> None:
    async with connecting(either_server) as queue:
        reserve = asyncio.create_task(queue.reserve(timeout=0))
        await until_sent(queue)
        while not queue._wire._flight.empty:
            await asyncio.sleep(0)
        assert not reserve.done()
        reserve.cancel()
        await asyncio.wait([reserve])
        assert reserve.cancelled()
        assert await queue.using() == "default"


@pytest.mark.parametrize("wait_for", [False, True])
@on_a_loop
async def test_a_time_out_is_a_cancellation(beanrow_server: RunningServer, wait_for: bool) -> None:
    async def reserve_in_time() -> None:
        async with asyncio.timeout(0.05):
            await queue.reserve()

    async with connecting(beanrow_server) as queue:
        with pytest.raises(TimeoutError):
            await (asyncio.wait_for(queue.reserve(), 0.05) if wait_for else reserve_in_time())
        assert queue.closed


@on_a_loop
async def test_a_reserve_by_id_that_is_cancelled_strands_nothing() -> None:
    with misbehaving(answering()) as port:
        async with aio.Connection(port=port) as queue:
            reserve = asyncio.create_task(queue.reserve_job(1))
            await until_sent(queue)
            reserve.cancel()
            await asyncio.wait([reserve])
            assert queue.closed


@on_a_loop
async def test_the_reply_to_a_cancelled_put_is_nobody_elses(either_server: RunningServer) -> None:
    async with connecting(either_server) as queue:
        put = asyncio.create_task(queue.put("a"))
        await until_sent(queue)
        put.cancel()
        assert await queue.put("b") == 2
        assert put.cancelled()
        assert (await queue.stats()).current_jobs_ready == 2


@on_a_loop
async def test_a_refusal_that_nobody_waits_for_any_more_is_dropped(
    either_server: RunningServer,
) -> None:
    async with connecting(either_server) as queue:
        delete = asyncio.create_task(queue.delete(99))
        await until_sent(queue)
        delete.cancel()
        assert await queue.using() == "default"
        assert delete.cancelled()


@on_a_loop
async def test_a_job_is_released_when_its_block_is_cancelled(either_server: RunningServer) -> None:
    async def work() -> None:
        async with await queue.reserve():
            begun.set()
            await asyncio.sleep(60)

    begun = asyncio.Event()
    async with connecting(either_server) as queue:
        job_id = await queue.put("a", priority=7)
        working = asyncio.create_task(work())
        await begun.wait()
        working.cancel()
        await asyncio.wait([working])
        assert working.cancelled()
        stats = await queue.stats_job(job_id)
        assert (stats.state, stats.pri, stats.releases) == ("ready", 7, 1)


@on_a_loop
async def test_no_job_is_stranded_whenever_workers_are_cancelled(
    either_server: RunningServer,
) -> None:
    async def work(done: list[int]) -> None:
        async with connecting(either_server) as queue:
            while True:
                async with await queue.reserve() as job:
                    await asyncio.sleep(0)
                # By then the job is deleted; had the cancellation come before, it is not.
                done.append(job.id)

    async def cancel_some() -> None:
        while True:
            worker = asyncio.create_task(work(done))
            try:
                await asyncio.sleep(chance.random() * 0.01)
            finally:
                worker.cancel()
                await asyncio.wait([worker])
            assert worker.cancelled()

    chance, done = random.Random(20), list[int]()
    cancelling = [asyncio.create_task(cancel_some()) for _ in range(3)]
    async with connecting(either_server) as producer:
        for _ in range(300):
            await producer.put("a", ttr=3600)
            await asyncio.sleep(chance.random() * 0.002)
        give_up_at_s = time.monotonic() + 30
        while (stats := await producer.stats()).current_jobs_ready + stats.current_jobs_reserved:
            assert time.monotonic() < give_up_at_s, "jobs are stranded"
            await asyncio.sleep(0.01)
        for task in cancelling:
            task.cancel()
        await asyncio.wait(cancelling)
    assert len(done) == len(set(done))
