"""The suite itself: it reads replies and scripts as it should, and does see differences."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.differential.duel import DisagreementError, Duel, duel_of
from tests.differential.replies import Reply, agree, as_1_12, as_1_13, cut_reply
from tests.differential.script import Act, Step, encode, parse_step
from tests.peers import running_beanstalkd


def test_replies_are_cut_wherever_the_stream_is() -> None:
    stream = b"INSERTED 1\r\nRESERVED 1 4\r\na\r\nb\r\nOK 0\r\n\r\nTIMED_OUT\r\n"
    arrived, replies = bytearray(), []
    for position in range(len(stream)):
        arrived += stream[position : position + 1]
        while (reply := cut_reply(arrived)) is not None:
            replies.append(reply)
    assert not arrived
    assert replies == [
        Reply(b"INSERTED 1"),
        Reply(b"RESERVED 1 4", b"a\r\nb"),
        Reply(b"OK 0", b""),
        Reply(b"TIMED_OUT"),
    ]


def test_a_wrong_length_is_noticed() -> None:
    with pytest.raises(AssertionError, match="another length"):
        cut_reply(bytearray(b"FOUND 1 2\r\nabc\r\n"))


def test_a_document_is_quoted_as_1_13_does() -> None:
    spoken = b"---\nname: t\ncurrent-using: 1\n"
    quoted = b'---\nname: "t"\ncurrent-using: 1\n'
    assert as_1_13(Reply(b"OK %d" % len(spoken), spoken)) == Reply(b"OK %d" % len(quoted), quoted)
    listed = Reply(b"OK 14", b"---\n- default\n")
    assert as_1_13(listed) == listed


@pytest.mark.parametrize("lax", [b"", b"x", b"-1", b"+1", b"1 ", b"1x", b"4294967296", b"1\n"])
def test_a_lax_timeout_is_refused_as_1_13_does(lax: bytes) -> None:
    refused = b"reserve-with-timeout 18446744073709551616\r\n"
    assert as_1_12(b"use t\r\nreserve-with-timeout " + lax + b"\r\n") == b"use t\r\n" + refused


@pytest.mark.parametrize("strict", [b"0", b"  007", b"4294967295"])
def test_a_strict_timeout_is_left_alone(strict: bytes) -> None:
    request = b"reserve-with-timeout " + strict + b"\r\nlist-tubes\r\n"
    assert as_1_12(request) == request


def test_only_seconds_may_differ_and_only_by_one() -> None:
    def job(age: int, priority: int) -> Reply:
        return Reply(b"OK 0", b"---\nid: 1\npri: %d\nage: %d\n" % (priority, age))

    assert agree(job(9, 1), job(10, 1))
    assert not agree(job(8, 1), job(10, 1))
    assert not agree(job(9, 1), job(9, 2))
    assert not agree(Reply(b"OK 0", b"---\nid: 1\n"), Reply(b"OK 0", b"---\nid: 2\n"))


def test_steps_are_read_as_they_are_written() -> None:
    for line in ("a> use t", "a>> put 0", "a.> x", "a! close", "! pass 1.5", "a>"):
        assert str(parse_step(line)).rstrip() == line
    assert parse_step("abc> use t") == Step(Act.SEND, "abc", "use t")
    with pytest.raises(ValueError, match="not a step"):
        parse_step("use t")


def test_markup_becomes_bytes() -> None:
    assert encode("{1} {2*3} {ab\\r\\n*2}", 41) == b"42 222 ab\r\nab\r\n"
    assert encode("\\0\\t\\\\\\xff{", 0) == b"\0\t\\\xff{"


@contextmanager
def duel_of_unequals() -> Iterator[Duel]:
    with (
        running_beanstalkd() as roomy,
        running_beanstalkd("-z", "3") as narrow,
        duel_of(roomy, narrow) as duel,
    ):
        yield duel


def test_a_different_reply_is_seen_and_told_with_the_script() -> None:
    with duel_of_unequals() as duel:
        duel.play(parse_step("a> put 0 0 1 3\\r\\nabc"))
        with pytest.raises(DisagreementError) as told:
            duel.play(parse_step("a> put 0 0 1 4\\r\\nabcd"))
    assert "a> put 0 0 1 3\\r\\nabc\na> put 0 0 1 4\\r\\nabcd\n" in str(told.value)
    assert "expected b'INSERTED 3'\ngot      b'JOB_TOO_BIG'" in str(told.value)


def test_a_different_state_is_seen_at_the_end() -> None:
    with (
        duel_of_unequals() as duel,
        pytest.raises(DisagreementError, match="max-job-size: 65535 expected, 3 got"),
    ):
        duel.finish()
