"""Both clients against both real servers: what they do with beanrow they do with beanstalkd."""

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import beanrow
from beanrow import Connection, Job
from beanrow.client.reservations import DEADLINE_QUESTIONS
from beanrow.client.sockets import KEEPALIVE_IDLE_S
from tests.e2e.both_clients import CLIENTS, Blocking, Connect
from tests.peers import RunningServer, running_beanrow


@pytest.fixture(params=CLIENTS.values(), ids=list(CLIENTS))
def connect(request: pytest.FixtureRequest) -> Connect:
    found: Connect = request.param
    return found


@pytest.fixture
def queue(either_server: RunningServer, connect: Connect) -> Iterator[Connection]:
    with connect(either_server.host, either_server.port, io_timeout=5) as connection:
        yield connection


def reserved(queue: Connection, timeout: int = 0) -> Job:
    job = queue.reserve(timeout)
    assert job is not None
    return job


def close_and_fail(queue: Connection) -> None:
    queue.close()
    raise OSError("broken")


def test_the_first_example(either_server: RunningServer) -> None:
    queue = beanrow.Connection(host=either_server.host, port=str(either_server.port))
    assert queue.use("today") == "today"
    assert queue.put("hello world", priority=1000, delay=0, ttr=10) == 1
    assert queue.watch("today") == 2
    assert queue.ignore("default") == 1
    job = queue.reserve(timeout=5)
    assert job is not None
    assert (job.id, job.body) == (1, b"hello world")
    job.delete()
    assert queue.reserve(timeout=0) is None
    queue.close()


def test_everything_public_is_there_and_nothing_else() -> None:
    for name in beanrow.__all__:
        assert getattr(beanrow, name) is not None
    assert set(beanrow.__all__) == set(dir(beanrow))
    with pytest.raises(AttributeError, match="'beanrow' has no attribute 'Conection'"):
        beanrow.Conection  # type: ignore[attr-defined]  # noqa: B018


def test_bodies_come_back_as_they_were_put(queue: Connection) -> None:
    for body in (b"", b"\r\n", bytes(range(256)), b"x" * 65535):
        queue.put(body)
        with queue.reserve() as job:
            assert job.body == body


def test_a_smaller_priority_goes_first_and_a_delay_waits(queue: Connection) -> None:
    late, soon, delayed = queue.put("a", 2), queue.put("b", 1), queue.put("c", 0, delay=60)
    assert [reserved(queue).id, reserved(queue).id] == [soon, late]
    assert queue.reserve(0) is None
    assert queue.stats_job(delayed).state == "delayed"


def test_release_and_bury_keep_the_priority_unless_told(queue: Connection) -> None:
    queue.put("a", priority=7)
    job = reserved(queue)
    job.release()
    assert (job.stats().state, job.stats().pri) == ("ready", 7)
    job = reserved(queue)
    job.release(priority=8, delay=60)
    assert (job.stats().state, job.stats().pri, job.stats().delay) == ("delayed", 8, 60)
    job.kick()
    job = reserved(queue)
    job.bury()
    assert (job.stats().state, job.stats().pri) == ("buried", 8)
    job.kick()
    job = reserved(queue)
    job.bury(priority=9)
    assert (job.stats().state, job.stats().pri) == ("buried", 9)


@pytest.mark.parametrize("verb", ["release", "bury"])
def test_a_lost_job_is_told_by_the_command_that_missed_it(
    queue: Connection, either_server: RunningServer, verb: str
) -> None:
    queue.put("a", ttr=1)
    job = reserved(queue)
    time.sleep(1.1)
    queue.using()  # beanstalkd may miss the end of a ttr until the client says something
    with Connection(either_server.host, either_server.port) as other:
        reserved(other, timeout=5).delete()
    with pytest.raises(beanrow.NotFound, match=f"^{verb} 1: NOT_FOUND") as caught:
        getattr(job, verb)()
    assert caught.value.job_id == 1
    assert not job.reserved
    assert not queue._reservations


def test_touch_begins_the_time_to_run_anew(queue: Connection) -> None:
    queue.put("a", ttr=3)
    job = reserved(queue)
    time.sleep(1.1)
    assert job.stats().time_left == 1
    job.touch()
    assert job.stats().time_left == 2


def test_a_time_out_beyond_what_a_socket_can_count_is_one(queue: Connection) -> None:
    # With the fixture's io_timeout these are 2**32 + 704 ms, of which poll(2) would see the 704.
    queue.put("a", delay=1)
    job = queue.reserve(timeout=4_294_963)
    assert job is not None
    assert job.id == 1


def test_the_socket_sends_at_once_and_notices_a_vanished_host(queue: Any) -> None:
    if isinstance(queue, Blocking):
        options = queue.target._wire._transport.get_extra_info("socket").getsockopt
    else:
        options = queue._stream._socket.getsockopt
    assert options(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert options(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert options(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEPALIVE_IDLE_S


def test_a_job_is_reserved_by_its_id(queue: Connection) -> None:
    first, second = queue.put("a"), queue.put("b", delay=60)
    job = queue.reserve_job(second)
    assert (job.id, job.body) == (second, b"b")
    with pytest.raises(beanrow.NotFound, match=f"reserve-job {second}: NOT_FOUND"):
        queue.reserve_job(second)
    job.delete()
    assert queue.reserve_job(first).reserved


def test_peeking_finds_jobs_by_state_or_nothing(queue: Connection) -> None:
    assert queue.peek(1) is None
    assert queue.peek_ready() is queue.peek_delayed() is queue.peek_buried() is None
    ready, delayed, buried = queue.put("r", 2), queue.put("d", delay=60), queue.put("b", 1)
    reserved(queue).bury()
    found = [queue.peek_ready(), queue.peek_delayed(), queue.peek_buried(), queue.peek(delayed)]
    assert [(job.id, job.body, job.reserved) for job in found if job] == [
        (ready, b"r", False),
        (delayed, b"d", False),
        (buried, b"b", False),
        (delayed, b"d", False),
    ]


def test_kick_makes_buried_jobs_ready(queue: Connection) -> None:
    ids = [queue.put("a") for _ in range(3)]
    for _ in ids:
        reserved(queue).bury()
    assert queue.kick() == 1
    assert queue.kick(10) == 2
    assert queue.kick(10) == 0
    with pytest.raises(beanrow.NotFound):
        queue.kick_job(ids[0])


def test_a_connection_takes_jobs_and_ids_alike(queue: Connection) -> None:
    queue.put("a")
    job = reserved(queue)
    queue.touch(job)
    queue.touch(job.id)
    queue.release(job, 5)
    assert not job.reserved
    job = reserved(queue)
    queue.bury(job.id, 5)
    queue.kick_job(job)
    assert queue.stats_job(job) == queue.stats_job(job.id)
    queue.delete(job)
    assert queue.peek(job) is None


def test_tubes_used_watched_listed_and_paused(queue: Connection) -> None:
    assert (queue.using(), queue.watching(), queue.tubes()) == ("default", ["default"], ["default"])
    queue.use("a")
    queue.watch("b")
    assert (queue.using(), queue.watching()) == ("a", ["default", "b"])
    assert sorted(queue.tubes()) == ["a", "b", "default"]
    queue.pause_tube("default", 60)
    assert queue.stats_tube("default").pause == 60
    queue.use("default")
    queue.put("a")
    assert queue.reserve(0) is None
    with pytest.raises(beanrow.NotFound):
        queue.pause_tube("nowhere", 1)


def test_stats_have_types(queue: Connection, either_server: RunningServer) -> None:
    queue.put("a", priority=3)
    server, tube, job = queue.stats(), queue.stats_tube("default"), queue.stats_job(1)
    assert (server.pid, server.cmd_put, server.draining) == (either_server.pid, 1, False)
    assert isinstance(server.rusage_utime, float)
    assert server.version
    assert server.extra == tube.extra == job.extra == {}
    assert (tube.name, tube.current_jobs_urgent, tube.current_using) == ("default", 1, 1)
    assert (job.id, job.tube, job.state, job.pri, job.ttr) == (1, "default", "ready", 3, 120)


def test_a_job_is_deleted_when_its_block_succeeds(queue: Connection) -> None:
    job_id = queue.put("a")
    with queue.reserve() as job:
        assert job.id == job_id
    assert not job.reserved
    assert queue.peek(job_id) is None


def test_a_job_is_released_when_an_exception_leaves_its_block(queue: Connection) -> None:
    job_id = queue.put("a", priority=7)
    with pytest.raises(ZeroDivisionError), queue.reserve() as job:
        print(1 / (job.id - job_id))
    stats = queue.stats_job(job_id)
    assert (stats.state, stats.pri, stats.releases) == ("ready", 7, 1)


def test_a_block_may_decide_for_itself(queue: Connection) -> None:
    job_id = queue.put("a")
    with queue.reserve() as job:
        job.bury()
    assert queue.stats_job(job_id).state == "buried"


def test_an_exception_tells_when_its_job_could_not_be_released(queue: Connection) -> None:
    queue.put("a")
    with pytest.raises(OSError, match="broken") as caught, queue.reserve():
        close_and_fail(queue)
    assert any("job 1 could not be released" in note for note in caught.value.__notes__)


def test_a_job_that_was_only_found_has_no_block(queue: Connection) -> None:
    queue.put("a")
    found = queue.peek_ready()
    assert found is not None
    with pytest.raises(beanrow.InvalidArgument, match="not reserved"), found:
        pass


def test_deadline_soon_names_the_only_job(queue: Connection) -> None:
    job_id = queue.put("a", ttr=2)
    reserved(queue)
    with pytest.raises(beanrow.DeadlineSoon) as caught:
        queue.reserve(timeout=5)
    assert caught.value.job_ids == (job_id,)


def test_deadline_soon_names_those_that_are_meant(queue: Connection) -> None:
    ids = [queue.put("a", ttr=ttr) for ttr in (60, 2, 60, 2, 60)]
    jobs = [queue.reserve_job(job_id) for job_id in reversed(ids)]
    jobs[0].delete()
    with pytest.raises(beanrow.DeadlineSoon) as caught:
        queue.reserve(timeout=5)
    assert caught.value.job_ids == (ids[1], ids[3])


def test_deadline_soon_asks_about_the_oldest_only(queue: Connection) -> None:
    calm = [queue.put("a", ttr=60) for _ in range(DEADLINE_QUESTIONS + 10)]
    soon = queue.put("a", ttr=2)
    for job_id in (*calm, soon):
        queue.reserve_job(job_id)
    with pytest.raises(beanrow.DeadlineSoon) as caught:
        queue.reserve(timeout=5)
    assert caught.value.job_ids == ()
    assert queue.stats().cmd_stats_job == DEADLINE_QUESTIONS
    for job_id in calm[:20]:
        queue.touch(job_id)
    with pytest.raises(beanrow.DeadlineSoon) as caught:
        queue.reserve(timeout=5)
    assert caught.value.job_ids == (soon,)


def test_deadline_soon_asks_about_no_lost_job_again(
    queue: Connection, either_server: RunningServer
) -> None:
    # Not two at once: of deadlines that are close together, beanstalkd may forget the second.
    ids = [queue.put("a", ttr=ttr) for ttr in (1, 2, 5)]
    for job_id in ids:
        queue.reserve_job(job_id)
    with Connection(either_server.host, either_server.port) as other:
        reserved(other, timeout=5).delete()
        reserved(other, timeout=5).bury()
    for asked in (3, 3):
        with pytest.raises(beanrow.DeadlineSoon) as caught:
            queue.reserve(timeout=5)
        assert caught.value.job_ids == (ids[2],)
        assert queue.stats().cmd_stats_job == asked + 1  # and bury has asked for its priority


def test_a_refusal_leaves_the_connection_as_it_was(queue: Connection) -> None:
    with pytest.raises(beanrow.NotFound):
        queue.delete(99)
    with pytest.raises(beanrow.NotIgnored):
        queue.ignore("default")
    with pytest.raises(beanrow.JobTooBig):
        queue.put(b"x" * 65536)
    with pytest.raises(beanrow.InvalidArgument):
        queue.use("two words")
    with pytest.raises(beanrow.CodecError):
        queue.put(7)
    assert queue.using() == "default"


def test_a_draining_server_takes_no_jobs(queue: Connection, either_server: RunningServer) -> None:
    either_server.process.send_signal(signal.SIGUSR1)
    while not queue.stats().draining:
        time.sleep(0.01)
    with pytest.raises(beanrow.Draining):
        queue.put("a")
    assert queue.using() == "default"


def test_a_body_that_cannot_be_decoded_leaves_the_job_to_be_buried(
    either_server: RunningServer, connect: Connect
) -> None:
    with connect(either_server.host, either_server.port, codec="json") as queue:
        queue.put({"to": "you"})
        with Connection(either_server.host, either_server.port) as other:
            other.put(b"{")
        with queue.reserve() as job:
            assert job.body == {"to": "you"}
        with queue.reserve() as job:
            with pytest.raises(beanrow.CodecError):
                print(job.body)
            assert job.raw_body == b"{"
            job.bury()


def test_jobs_of_a_client_that_quits_are_ready_again(
    queue: Connection, either_server: RunningServer, connect: Connect
) -> None:
    queue.put("a")
    other = connect(either_server.host, either_server.port)
    reserved(other)
    other.quit()
    other.quit()
    assert other.closed
    with other:
        assert reserved(queue).stats().reserves == 2


def test_a_closed_connection_says_so(queue: Connection) -> None:
    queue.close()
    queue.close()
    assert queue.closed
    with pytest.raises(beanrow.ConnectionClosed, match=r"stats: not sent, .* was closed; open"):
        queue.stats()


def test_a_server_that_ends_is_told_at_once(
    queue: Connection, either_server: RunningServer
) -> None:
    assert queue.using() == "default"
    either_server.process.terminate()
    either_server.process.wait()
    with pytest.raises(beanrow.ConnectionLost, match="list-tube-used: "):
        queue.using()
    with pytest.raises(beanrow.ConnectionClosed, match="given up after an error"):
        queue.using()


def test_a_unix_socket_works_too(tmp_path: Path, connect: Connect) -> None:
    path = tmp_path / "queue.sock"
    with running_beanrow("-l", f"unix:{path}"):
        for address in (str(path), f"unix:{path}", f"unix://{path}"):
            with connect(address) as queue:
                assert queue.using() == "default"
