"""Commands of many clients meet in one server, and every answer comes in its place."""

from collections.abc import Iterator

import pytest

from tests.unit.server.in_process_server import Serving


@pytest.fixture
def serving() -> Iterator[Serving]:
    with Serving() as serving:
        yield serving


PUT = b"put 0 0 60 1\r\nx\r\n"
USING = b"USING default\r\n"

# --- one client ---------------------------------------------------------------------------------


def test_a_job_goes_the_whole_way(serving: Serving) -> None:
    client = serving.connect()
    client.ask(b"put 1 0 60 5\r\nhello\r\n", b"INSERTED 1\r\n")
    client.ask(b"reserve\r\n", b"RESERVED 1 5\r\nhello\r\n")
    client.ask(b"delete 1\r\n", b"DELETED\r\n")
    client.ask(b"reserve-with-timeout 0\r\n", b"TIMED_OUT\r\n")


def test_pipelined_commands_are_answered_in_order(serving: Serving) -> None:
    client = serving.connect()
    client.ask(
        PUT + b"xyz\r\n" + PUT + b"reserve\r\nput x\r\nreserve\r\nreserve-with-timeout 0\r\n",
        b"INSERTED 1\r\nUNKNOWN_COMMAND\r\nINSERTED 2\r\n",
        b"RESERVED 1 1\r\nx\r\nBAD_FORMAT\r\nRESERVED 2 1\r\nx\r\nTIMED_OUT\r\n",
    )


def test_a_command_may_come_byte_by_byte(serving: Serving) -> None:
    client = serving.connect()
    for byte in PUT + b"reserve\r\n":
        client.say(bytes([byte]))
        serving.nudge()
    client.expect(b"INSERTED 1\r\nRESERVED 1 1\r\nx\r\n")


@pytest.mark.parametrize(
    ("refused", "reply"),
    [
        (b"put 0 0 60 11\r\nhello world\r\n", b"JOB_TOO_BIG\r\n"),
        (b"put 0 0 60 2\r\nhi!!", b"EXPECTED_CRLF\r\n"),
        (b"use -\r\n", b"BAD_FORMAT\r\n"),
        (b"x" * 1000 + b"\r\n", b"BAD_FORMAT\r\n"),
    ],
)
def test_what_follows_an_error_is_read_as_commands(refused: bytes, reply: bytes) -> None:
    with Serving(max_job_bytes=10) as serving:
        serving.connect().ask(refused + b"list-tube-used\r\n", reply, USING)


def test_a_body_larger_than_one_read_comes_back_whole(serving: Serving) -> None:
    client = serving.connect()
    body = bytes(range(256)) * 255
    client.ask(b"put 0 0 60 %d\r\n%b\r\n" % (len(body), body), b"INSERTED 1\r\n")
    client.ask(b"peek 1\r\n", b"FOUND 1 %d\r\n%b\r\n" % (len(body), body))


# --- several clients ----------------------------------------------------------------------------


def test_who_waits_is_answered_by_the_put_of_another(serving: Serving) -> None:
    waiter, producer = serving.connect(), serving.connect()
    waiter.say(b"reserve\r\n")
    assert serving.says_nothing_to(waiter)
    producer.ask(PUT, b"INSERTED 1\r\n")
    waiter.expect(b"RESERVED 1 1\r\nx\r\n")


def test_commands_behind_a_waiting_reserve_run_after_it(serving: Serving) -> None:
    waiter, producer = serving.connect(), serving.connect()
    waiter.say(b"reserve\r\ndelete 1\r\nreserve\r\nlist-tube-used\r\n")
    assert serving.says_nothing_to(waiter)
    producer.ask(PUT, b"INSERTED 1\r\n")
    waiter.expect(b"RESERVED 1 1\r\nx\r\nDELETED\r\n")
    assert serving.says_nothing_to(waiter)
    producer.ask(PUT, b"INSERTED 2\r\n")
    waiter.expect(b"RESERVED 2 1\r\nx\r\n", USING)


def test_a_job_comes_before_the_commands_that_arrive_in_the_same_tick(serving: Serving) -> None:
    waiter, producer = serving.connect(), serving.connect()
    waiter.say(b"reserve\r\n")
    with serving.one_tick():
        producer.say(PUT)
        waiter.say(b"list-tube-used\r\nreserve\r\n")
    waiter.expect(b"RESERVED 1 1\r\nx\r\n", USING)
    with serving.one_tick():
        waiter.say(b"list-tube-used\r\ndelete 2\r\n")
        producer.say(PUT)
    waiter.expect(b"RESERVED 2 1\r\nx\r\n", USING, b"DELETED\r\n")


def test_those_who_wait_are_served_in_the_order_they_came(serving: Serving) -> None:
    producer = serving.connect()
    waiters = [serving.connect() for _ in range(3)]
    for waiter in waiters:
        waiter.say(b"reserve\r\n")
        serving.nudge()
    producer.say(PUT * 3)
    for job_id, waiter in enumerate(waiters, 1):
        waiter.expect(b"RESERVED %d 1\r\nx\r\n" % job_id)


def test_a_job_goes_to_who_waits_rather_than_to_the_next_command(serving: Serving) -> None:
    waiter, producer = serving.connect(), serving.connect()
    waiter.say(b"reserve\r\n")
    serving.nudge()
    producer.ask(PUT + b"reserve-with-timeout 0\r\n", b"INSERTED 1\r\nTIMED_OUT\r\n")


def test_a_put_takes_its_id_when_its_line_has_come(serving: Serving) -> None:
    slow, fast, lost = (serving.connect() for _ in range(3))
    slow.say(b"put 0 0 60 4\r\nsl")
    serving.nudge()
    lost.say(b"put 0 0 60 4\r\nlo")
    serving.nudge()
    fast.ask(PUT, b"INSERTED 3\r\n")
    lost.close()
    slow.ask(b"ow\r\n", b"INSERTED 1\r\n")
    fast.ask(PUT, b"INSERTED 4\r\n")


def test_a_slow_body_counts_and_ages_from_its_line(serving: Serving) -> None:
    slow, other = serving.connect(), serving.connect()
    slow.say(b"put 0 10 60 4\r\n")
    serving.pass_s(3)
    stats = other.document(b"stats\r\n")
    assert (stats[b"cmd-put"], stats[b"current-producers"]) == (b"1", b"1")
    assert stats[b"total-jobs"] == b"0"
    slow.ask(b"slow\r\n", b"INSERTED 1\r\n")
    job = other.document(b"stats-job 1\r\n")
    assert (job[b"age"], job[b"time-left"]) == (b"3", b"10")


def test_a_slow_body_that_is_too_big_counts_once_and_from_its_line(serving: Serving) -> None:
    slow, other = serving.connect(), serving.connect()
    slow.say(b"put 0 0 60 65536\r\n")
    serving.nudge()
    assert other.document(b"stats\r\n")[b"cmd-put"] == b"1"
    slow.ask(bytes(65538) + PUT, b"JOB_TOO_BIG\r\nINSERTED 1\r\n")
    assert other.document(b"stats\r\n")[b"cmd-put"] == b"2"


def test_a_slow_put_that_fails_leaves_nothing_for_the_next(serving: Serving) -> None:
    client = serving.connect()
    client.say(b"put 1 2 3 1\r\n")
    serving.nudge()
    client.ask(b"xyz" + PUT, b"EXPECTED_CRLF\r\nINSERTED 2\r\n")
    job = client.document(b"stats-job 2\r\n")
    assert (job[b"pri"], job[b"delay"], job[b"ttr"]) == (b"0", b"0", b"60")


# --- time ---------------------------------------------------------------------------------------


def test_a_reserve_times_out_when_its_time_has_passed(serving: Serving) -> None:
    client = serving.connect()
    client.say(b"reserve-with-timeout 5\r\nlist-tube-used\r\n")
    serving.pass_s(4.999999999)
    assert serving.says_nothing_to(client)
    serving.pass_s(0.000000001)
    client.expect(b"TIMED_OUT\r\n", USING)


def test_who_waits_is_warned_of_its_own_deadline(serving: Serving) -> None:
    client = serving.connect()
    client.ask(b"put 0 0 5 1\r\nx\r\nreserve\r\n", b"INSERTED 1\r\nRESERVED 1 1\r\nx\r\n")
    client.say(b"reserve\r\nlist-tube-used\r\n")
    serving.pass_s(4)
    client.expect(b"DEADLINE_SOON\r\n", USING)


def test_a_job_that_times_out_goes_to_who_waits(serving: Serving) -> None:
    holder, waiter = serving.connect(), serving.connect()
    holder.ask(b"put 0 0 5 1\r\nx\r\nreserve\r\n", b"INSERTED 1\r\nRESERVED 1 1\r\nx\r\n")
    waiter.say(b"reserve\r\n")
    serving.pass_s(5)
    waiter.expect(b"RESERVED 1 1\r\nx\r\n")
    holder.ask(b"touch 1\r\n", b"NOT_FOUND\r\n")


def test_a_delay_and_a_pause_pass(serving: Serving) -> None:
    producer, waiter = serving.connect(), serving.connect()
    producer.ask(b"put 0 3 60 1\r\nx\r\npause-tube default 5\r\n", b"INSERTED 1\r\nPAUSED\r\n")
    waiter.say(b"reserve\r\n")
    serving.pass_s(3)
    producer.ask(b"peek-ready\r\n", b"FOUND 1 1\r\nx\r\n")
    assert serving.says_nothing_to(waiter)
    serving.pass_s(2)
    waiter.expect(b"RESERVED 1 1\r\nx\r\n")


def test_the_server_wakes_up_by_itself_when_something_is_due(serving: Serving) -> None:
    client = serving.connect()
    client.say(b"reserve-with-timeout 60\r\n")
    serving.nudge()
    # The server is told that 20 ms are left, and sets out to sleep for them. When they are over,
    # so are the 60 s, and nobody nudges it.
    serving.pass_s(59.98)
    serving.clock.now_ns += 20_000_000
    client.expect(b"TIMED_OUT\r\n")


# --- draining -----------------------------------------------------------------------------------


def test_a_draining_server_takes_no_jobs_but_gives_them_out(serving: Serving) -> None:
    client = serving.connect()
    client.ask(PUT, b"INSERTED 1\r\n")
    serving.server.set_draining(True)
    assert client.document(b"stats\r\n")[b"draining"] == b"true"
    client.ask(PUT + b"put 0 0 60 1\r\nxyz", b"DRAINING\r\nEXPECTED_CRLF\r\n")
    client.ask(b"reserve\r\n", b"RESERVED 1 1\r\nx\r\n")
    serving.server.set_draining(False)
    client.ask(PUT, b"INSERTED 4\r\n")
