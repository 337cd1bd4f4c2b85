"""Pipelines of the asyncio client: cancelled, shared, and fed by asynchronous iterables."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

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


@on_a_loop
async def test_bodies_and_jobs_may_come_from_asynchronous_iterables(
    either_server: RunningServer,
) -> None:
    async def bodies() -> AsyncIterator[str]:
        for letter in "abc":
            await asyncio.sleep(0)
            yield letter

    async def jobs() -> AsyncIterator[aio.Job]:
        while (job := await queue.reserve(timeout=0)) is not None:
            yield job

    async with connecting(either_server) as queue:
        assert await queue.put_many(bodies()) == [1, 2, 3]
        await queue.delete_many(jobs())
        assert (await queue.stats()).current_jobs_ready == 0


@on_a_loop
async def test_pipelines_of_two_tasks_share_a_connection(either_server: RunningServer) -> None:
    async def put_and_delete(body: str) -> list[int]:
        ids = await queue.put_many([body] * 3000)
        for job_id in ids[::1000]:
            job = await queue.peek(job_id)
            assert job is not None
            assert job.body == body.encode()
        await queue.delete_many(ids)
        return ids

    async with connecting(either_server) as queue:
        first, second = await asyncio.gather(put_and_delete("a"), put_and_delete("b"))
        assert sorted(first + second) == list(range(1, 6001))
        assert (await queue.stats()).current_jobs_ready == 0


@on_a_loop
async def test_other_commands_may_be_sent_in_the_block(either_server: RunningServer) -> None:
    async with connecting(either_server) as queue, queue.pipeline() as p:
        put = await p.put("a")
        assert await queue.using() == "default"
        assert put.result == 1  # replies come in order


@on_a_loop
async def test_a_pipeline_does_not_wait_behind_a_reserve(either_server: RunningServer) -> None:
    async with connecting(either_server) as queue:
        reserve = asyncio.create_task(queue.reserve(timeout=1))
        await asyncio.sleep(0)
        with pytest.raises(beanrow.ConnectionShared):
            await queue.put_many(["a"])
        assert await reserve is None


@on_a_loop
async def test_who_is_cancelled_in_the_block_does_not_wait(either_server: RunningServer) -> None:
    outcomes: list[beanrow.Outcome[Any]] = []

    async def give() -> None:
        async with queue.pipeline() as p:
            outcomes.append(await p.put("a"))
            outcomes.append(await p.delete(99))
            given.set()
            await asyncio.sleep(60)

    given = asyncio.Event()
    async with connecting(either_server) as queue:
        giving = asyncio.create_task(give())
        await given.wait()
        giving.cancel()
        await asyncio.wait([giving])
        assert giving.cancelled()
        # What was given is carried out all the same, and the connection goes on.
        assert await queue.using() == "default"
        assert outcomes[0].result == 1
        assert isinstance(outcomes[1].error, beanrow.NotFound)


@pytest.mark.parametrize("count", [1, 3 * MAX_COMMANDS])
@on_a_loop
async def test_who_is_cancelled_while_replies_are_awaited_does_not_wait(count: int) -> None:
    taken = []

    async def bodies() -> AsyncIterator[str]:
        for number in range(count):
            taken.append(number)
            yield "a"

    with misbehaving(answering(b"INSERTED 1\r\n")) as port:
        async with aio.Connection(port=port) as queue:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await queue.put_many(bodies() if count > 1 else ["a", "b"])
            assert not queue.closed
            assert len(taken) <= MAX_COMMANDS + 2


@on_a_loop
async def test_outcomes_that_nobody_waited_for_are_unknown_when_the_connection_ends() -> None:
    outcomes: list[beanrow.Outcome[Any]] = []

    async def give() -> None:
        async with queue.pipeline() as p:
            outcomes.extend([await p.put("a"), await p.put("b")])

    with misbehaving(answering(b"INSERTED 7\r\n")) as port:
        async with aio.Connection(port=port) as queue:
            giving = asyncio.create_task(give())
            await asyncio.sleep(0.1)
            giving.cancel()
            await asyncio.wait([giving])
            assert [each.done for each in outcomes] == [True, False]
        assert outcomes[0].result == 7
        with pytest.raises(beanrow.ConnectionClosed, match="was closed before the reply; nobody"):
            print(outcomes[1].result)
