"""Many commands in one round trip, with both clients: order, errors, endings, bounds."""

# What is raised is often raised by the end of a pipeline's block.
# ruff: noqa: PT012

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import beanrow
from beanrow import Connection
from beanrow.client.flight import MAX_BYTES, MAX_COMMANDS
from tests.e2e.both_clients import CLIENTS, Connect
from tests.e2e.misbehaving import answering, misbehaving
from tests.peers import RunningServer


@pytest.fixture(params=CLIENTS.values(), ids=list(CLIENTS))
def connect(request: pytest.FixtureRequest) -> Connect:
    found: Connect = request.param
    return found


@pytest.fixture
def queue(either_server: RunningServer, connect: Connect) -> Iterator[Connection]:
    with connect(either_server.host, either_server.port, io_timeout=10) as connection:
        yield connection


# --- results and refusals -----------------------------------------------------------------------


def test_outcomes_come_in_order_and_a_refusal_hides_no_other(queue: Connection) -> None:
    with queue.pipeline(check=False) as p:
        outcomes: list[beanrow.Outcome[Any]] = [
            p.use("mail"),
            p.put("a"),
            p.delete(99),
            p.put(b"x" * 65536),
            p.put("b", priority=7, delay=60, ttr=9),
        ]
        p.flush()
        outcomes.append(p.stats_job(outcomes[4].result))
    assert outcomes[0].result == "mail"
    assert outcomes[1].result == 1
    with pytest.raises(beanrow.NotFound, match=r"^delete 99: "):
        print(outcomes[2].result)
    assert isinstance(outcomes[3].error, beanrow.JobTooBig)
    last = queue.peek_delayed()
    assert last is not None
    assert last.id == outcomes[4].result
    stats = outcomes[5].result
    assert (last.body, stats.pri, stats.delay, stats.ttr) == (b"b", 7, 60, 9)
    assert queue.using() == "mail"


def test_refusals_are_raised_at_the_end_of_the_block(queue: Connection) -> None:
    with pytest.raises(beanrow.SomeRefused) as caught, queue.pipeline() as p:
        first = p.put("a")
        p.delete(99)
        p.delete(98)
        last = p.put("b")
    assert str(caught.value).startswith("2 of 4 commands were refused; the first: delete 99: NOT")
    assert (caught.value.refused, caught.value.total, caught.value.results) == (2, 4, ())
    assert isinstance(caught.value.__cause__, beanrow.NotFound)
    assert last.result > first.result
    assert queue.stats().current_jobs_ready == 2


def test_every_command_of_a_pipeline_does_its_work(queue: Connection) -> None:
    ids = queue.put_many(list("abcde"))
    jobs = [queue.reserve() for _ in ids]
    with queue.pipeline() as p:
        p.release(jobs[0], 5)
        p.release(jobs[1], 5, delay=60)
        p.bury(jobs[2], 5)
        p.touch(jobs[3])
        p.delete(jobs[4])
        states = [p.stats_job(job_id) for job_id in ids[:4]]
        p.kick_job(ids[2])
        kicked = p.stats_job(ids[2])
    assert [each.result.state for each in states] == ["ready", "delayed", "buried", "reserved"]
    assert kicked.result.state == "ready"
    assert queue.peek(ids[4]) is None
    assert [job.reserved for job in jobs] == [False, False, False, True, False]
    assert len(queue._reservations) == 1


def test_put_many_and_delete_many_tell_all_results_with_their_refusals(queue: Connection) -> None:
    with pytest.raises(beanrow.SomeRefused) as caught:
        queue.put_many([b"a", b"x" * 65536, b"b"], priority=3, delay=60, ttr=9)
    first, refusal, last = caught.value.results
    assert isinstance(refusal, beanrow.JobTooBig)
    assert isinstance(first, int)
    assert isinstance(last, int)
    stats = queue.stats_job(last)
    assert (stats.pri, stats.delay, stats.ttr) == (3, 60, 9)
    with pytest.raises(beanrow.SomeRefused) as caught:
        queue.delete_many(job_id for job_id in (first, 99, last))
    assert [type(each) for each in caught.value.results] == [
        type(None),
        beanrow.NotFound,
        type(None),
    ]
    assert queue.stats().current_jobs_delayed == 0


def test_nothing_at_all_is_a_pipeline_too(queue: Connection) -> None:
    assert queue.put_many([]) == []
    queue.delete_many([])
    with queue.pipeline() as p:
        p.flush()
    assert queue.using() == "default"


def test_a_result_is_there_after_a_flush(queue: Connection) -> None:
    with queue.pipeline() as p:
        put = p.put("a")
        if isinstance(queue, Connection):  # for asyncio, a reply may be here at any time
            with pytest.raises(beanrow.InvalidArgument, match=r"put .*: has no result yet; leave"):
                print(put.result)
            assert not put.done
        p.flush()
        assert put.result == 1
        deleted = p.delete(put.result)
    assert deleted.result is None


def test_a_pipeline_is_used_in_its_block_and_once(queue: Connection) -> None:
    p = queue.pipeline()
    with pytest.raises(beanrow.InvalidArgument, match="the pipeline has not been entered"):
        p.put("a")
    with p:
        p.put("a")
    with pytest.raises(beanrow.InvalidArgument, match="the pipeline is over"):
        p.put("b")
    with pytest.raises(beanrow.InvalidArgument, match="the pipeline is over; make a new one"), p:
        pass


@pytest.mark.parametrize("bodies", ["hello", b"hello"])
def test_one_body_is_not_many(queue: Connection, bodies: Any) -> None:
    with pytest.raises(beanrow.InvalidArgument, match="is one body, not many"):
        queue.put_many(bodies)


def test_a_blocking_connection_belongs_to_its_open_pipeline(either_server: RunningServer) -> None:
    with Connection(either_server.host, either_server.port) as queue:
        with queue.pipeline() as p:
            put = p.put("a")
            with pytest.raises(beanrow.ConnectionShared, match="since a pipeline is under way"):
                queue.using()
        assert put.result == 1
        assert queue.using() == "default"


# --- much of it ---------------------------------------------------------------------------------


def test_a_hundred_thousand_jobs_are_put_and_deleted(queue: Connection) -> None:
    count = 100_000
    taken = 0
    behind = []

    def bodies() -> Iterator[bytes]:
        nonlocal taken
        for taken in range(1, count + 1):
            yield b"%d" % taken

    def progress(answered: int) -> None:
        told.append(answered)
        behind.append(taken - answered)

    told: list[int] = []
    ids = queue.put_many(bodies(), progress=progress)
    assert ids == list(range(1, count + 1))
    assert queue.stats().current_jobs_ready == count
    found = queue.peek(77_777)
    assert found is not None
    assert found.body == b"77777"
    # Never more than the window is taken from the generator and not yet answered.
    assert max(behind) <= MAX_COMMANDS
    assert told == sorted(set(told))
    assert told[-1] == count
    assert len(told) > 50
    queue.delete_many(iter(ids), progress=told.append)
    assert told[-1] == count
    assert queue.stats().current_jobs_ready == 0


def test_replies_are_read_while_commands_are_sent(queue: Connection) -> None:
    # Both directions carry more than any buffer between the two takes: a client that only sends
    # at first would wait for ever for a server that waits until its replies are read.
    body = b"x" * 65535
    queue.put(body)
    job = queue.reserve()
    with queue.pipeline() as p:
        outcomes = [(p.put(body, delay=60), p.stats_job(job)) for _ in range(1000)]
    assert [put.result for put, _ in outcomes] == list(range(2, 1002))
    assert all(asked.result.state == "reserved" for _, asked in outcomes)


def test_a_server_that_reads_only_when_its_replies_are_read_is_no_deadlock(
    connect: Connect,
) -> None:
    count = 300

    def behave(accepted: socket.socket) -> None:
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        lines = accepted.makefile("rb")
        for _ in range(count):
            size = int(lines.readline().split()[-1])
            lines.read(size + 2)
            accepted.sendall(b"INSERTED 1\r\n")
            head = lines.readline()
            assert head == b"stats-job 1\r\n"
            accepted.sendall(b"OK %d\r\n%b\r\n" % (len(document), document))

    document = job_document(100_000)
    with misbehaving(behave) as port, connect(port=port, io_timeout=10) as queue:
        with queue.pipeline() as p:
            outcomes = [(p.put(b"x" * 50_000), p.stats_job(1)) for _ in range(count)]
        assert all(len(asked.result.extra["filler"]) == 100_000 for _, asked in outcomes)


def job_document(filler: int) -> bytes:
    numbers = [
        "id",
        "pri",
        "age",
        "delay",
        "ttr",
        "time-left",
        "file",
        "reserves",
        "timeouts",
        "releases",
        "buries",
        "kicks",
    ]
    lines = ["---", *(f"{key}: 1" for key in numbers), "tube: a", "state: ready"]
    return "\n".join([*lines, f"filler: {'x' * filler}", ""]).encode()


def test_what_is_under_way_is_bounded_in_bytes(connect: Connect) -> None:
    def behave(accepted: socket.socket) -> None:
        time.sleep(0.3)  # by then a client without bounds has taken all bodies
        lines = accepted.makefile("rb")
        for number in range(100):
            size = int(lines.readline().split()[-1])
            lines.read(size + 2)
            accepted.sendall(b"INSERTED %d\r\n" % number)

    taken = []

    def bodies() -> Iterator[bytes]:
        for number in range(100):
            taken.append(number)
            yield b"x" * 100_000

    behind = []
    with misbehaving(behave) as port, connect(port=port) as queue:
        ids = queue.put_many(bodies(), progress=lambda n: behind.append(len(taken) - n))
    assert ids == list(range(100))
    assert max(behind) <= MAX_BYTES // 100_000 + 1


# --- errors of the user -------------------------------------------------------------------------


def test_what_was_given_before_an_error_is_carried_out(queue: Connection) -> None:
    with pytest.raises(ZeroDivisionError) as caught, queue.pipeline() as p:
        put = p.put("a")
        p.delete(99)
        print(1 / 0)
    assert caught.value.__notes__ == [
        "of 2 commands of the pipeline 2 were answered, 1 of them by a refusal"
    ]
    assert put.result == 1
    assert queue.using() == "default"


def test_a_body_that_cannot_be_encoded_ends_put_many_behind_the_others(queue: Connection) -> None:
    with pytest.raises(beanrow.CodecError) as caught:
        queue.put_many(["a", "b", 7, "c"])
    assert "of 2 commands of the pipeline 2 were answered" in caught.value.__notes__[0]
    assert queue.stats().current_jobs_ready == 2


def test_an_error_of_the_generator_or_the_progress_is_told(queue: Connection) -> None:
    def bodies() -> Iterator[bytes]:
        yield b"a"
        raise LookupError("no more")

    def progress(answered: int) -> None:
        raise LookupError(f"at {answered}")

    with pytest.raises(LookupError, match="no more"):
        queue.put_many(bodies())
    with pytest.raises(LookupError, match="at 1"):
        queue.put_many([b"b"], progress=progress)
    assert queue.stats().current_jobs_ready == 2


# --- errors of the connection -------------------------------------------------------------------


def closing_after(*replies: bytes) -> Callable[[socket.socket], None]:
    def behave(accepted: socket.socket) -> None:
        lines = accepted.makefile("rb")
        for reply in replies:
            lines.readline()
            lines.readline()
            accepted.sendall(reply)
        while lines.readline() not in (b"last\r\n", b""):
            pass
        accepted.shutdown(socket.SHUT_RDWR)

    return behave


def test_a_lost_connection_tells_which_outcomes_are_unknown(connect: Connect) -> None:
    behave = closing_after(b"INSERTED 7\r\n", b"DRAINING\r\n")
    with misbehaving(behave) as port, connect(port=port) as queue:
        with pytest.raises(beanrow.ConnectionLost) as caught, queue.pipeline() as p:
            outcomes = [p.put(body) for body in ("a", "b", "c", "last")]
            p.flush()
        assert outcomes[0].result == 7
        assert isinstance(outcomes[1].error, beanrow.Draining)
        for outcome in outcomes[2:]:
            with pytest.raises(
                beanrow.ConnectionLost, match=r"^put .* nobody knows whether it was"
            ):
                print(outcome.result)
        assert caught.value.__notes__ == [
            "of 4 commands of the pipeline 2 were answered, 1 of them by a refusal"
        ]
        assert queue.closed
        with pytest.raises(beanrow.ConnectionClosed, match="open a new one"), queue.pipeline() as p:
            p.put("a")


def test_a_silent_server_ends_the_block_even_if_its_error_is_passed_over(connect: Connect) -> None:
    with misbehaving(lambda _: None) as port, connect(port=port, io_timeout=0.2) as queue:
        with pytest.raises(beanrow.IOTimeout), queue.pipeline() as p:
            put = p.put("a")
            with pytest.raises(beanrow.IOTimeout, match=r"io_timeout is 0\.2 s"):
                p.flush()
            with pytest.raises(beanrow.ConnectionClosed, match=r"^put .*: not sent, since"):
                p.put("b")
        assert isinstance(put.error, beanrow.IOTimeout)
        assert "nobody knows" in str(put.error)
        with pytest.raises(beanrow.IOTimeout), connect(port=port, io_timeout=0.2) as another:
            another.put_many(["a"])


def test_a_reply_that_makes_no_sense_is_the_outcome_of_its_command(connect: Connect) -> None:
    def behave(accepted: socket.socket) -> None:
        lines = accepted.makefile("rb")
        for _ in range(4 * 2):  # all are given before the nonsense comes
            lines.readline()
        accepted.sendall(b"INSERTED 7\r\nTOUCHED\r\n")

    with misbehaving(behave) as port, connect(port=port) as queue:
        with pytest.raises(beanrow.ProtocolError), queue.pipeline() as p:
            outcomes = [p.put("a") for _ in range(4)]
        assert outcomes[0].result == 7
        assert isinstance(outcomes[1].error, beanrow.ProtocolError)
        assert "TOUCHED, which makes no sense" in str(outcomes[1].error)
        assert [type(each.error) for each in outcomes[2:]] == [beanrow.ConnectionLost] * 2
        assert queue.closed


def test_one_reply_too_many_ends_the_connection(connect: Connect) -> None:
    behave = answering(b"INSERTED 1\r\nINSERTED 2\r\n")
    with misbehaving(behave) as port, connect(port=port) as queue:
        with pytest.raises(beanrow.ProtocolError, match="more than one reply"):
            queue.put_many(["a"])
        assert queue.closed


def test_what_comes_before_the_first_command_is_no_answer(connect: Connect) -> None:
    def behave(accepted: socket.socket) -> None:
        accepted.sendall(b"INSERTED 99\r\n")
        sent.set()

    sent = threading.Event()
    with misbehaving(behave) as port, connect(port=port) as queue:
        sent.wait()
        with pytest.raises(beanrow.ProtocolError, match=r"not sent, .* spoke unasked"):
            queue.put_many(["a"])


# --- interrupts of the blocking client (those of the other are in test_aio_pipeline.py) ---------


@pytest.fixture
def alarm() -> Iterator[Callable[[float], None]]:
    """Raise KeyboardInterrupt after so many seconds, wherever the test is by then."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield lambda after_s: print(signal.setitimer(signal.ITIMER_REAL, after_s))
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_an_interrupt_while_replies_are_awaited_ends_the_connection(
    alarm: Callable[[float], None],
) -> None:
    behave = closing_after(b"INSERTED 7\r\n")
    with misbehaving(behave) as port, Connection(port=port) as queue:
        alarm(0.2)
        with pytest.raises(KeyboardInterrupt) as caught, queue.pipeline() as p:
            outcomes = [p.put("a"), p.put("b")]
            p.flush()
        assert outcomes[0].result == 7
        assert isinstance(outcomes[1].error, beanrow.ConnectionLost)
        assert "KeyboardInterrupt) before the reply; nobody knows" in str(outcomes[1].error)
        assert "of 2 commands of the pipeline 1 were answered" in caught.value.__notes__[0]
        with pytest.raises(beanrow.ConnectionClosed, match="KeyboardInterrupt"):
            queue.using()


def test_an_interrupt_in_the_block_waits_for_nothing(either_server: RunningServer) -> None:
    with Connection(either_server.host, either_server.port) as queue:
        with pytest.raises(KeyboardInterrupt), queue.pipeline():
            raise KeyboardInterrupt
        assert queue.using() == "default"
        with pytest.raises(KeyboardInterrupt), queue.pipeline() as p:
            put = p.put("a")
            raise KeyboardInterrupt
        assert isinstance(put.error, beanrow.ConnectionClosed)
        assert "not sent" in str(put.error)
        assert queue.closed


def test_a_pipeline_closed_by_another_thread_says_so(beanrow_server: RunningServer) -> None:
    with Connection(beanrow_server.host, beanrow_server.port) as queue:
        with pytest.raises(beanrow.ConnectionClosed, match="was closed"), queue.pipeline() as p:
            put = p.put("a")
            closer = threading.Thread(target=queue.close)
            closer.start()
            closer.join()
        assert isinstance(put.error, beanrow.ConnectionClosed)
        assert queue._stream._socket.fileno() == -1
