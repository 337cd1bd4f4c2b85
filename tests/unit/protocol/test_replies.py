"""Every reply, byte for byte."""

from collections.abc import Callable

import pytest

from beanrow.protocol import replies
from beanrow.protocol.replies import LongReply


@pytest.mark.parametrize(
    "word",
    [
        *("BURIED", "DEADLINE_SOON", "DELETED", "NOT_FOUND", "NOT_IGNORED", "PAUSED", "RELEASED"),
        *("TIMED_OUT", "TOUCHED", "BAD_FORMAT", "DRAINING", "EXPECTED_CRLF", "JOB_TOO_BIG"),
        *("OUT_OF_MEMORY", "UNKNOWN_COMMAND"),
    ],
)
def test_a_reply_without_arguments_is_its_word(word: str) -> None:
    assert getattr(replies, word) == word.encode() + b"\r\n"


def test_a_job_that_was_kicked_by_its_id_is_not_counted() -> None:
    assert replies.JOB_KICKED == b"KICKED\r\n"


def test_a_number_or_a_name_follows_the_word() -> None:
    assert replies.inserted(2**64 - 1) == b"INSERTED 18446744073709551615\r\n"
    assert replies.kicked(0) == b"KICKED 0\r\n"
    assert replies.watching(3) == b"WATCHING 3\r\n"
    assert replies.using(b"a-b") == b"USING a-b\r\n"


@pytest.mark.parametrize("body", [b"", b"hello", b"\r\n", b"\0\xff%d"])
def test_a_body_follows_its_size(body: bytes) -> None:
    assert replies.reserved(7, body) == b"RESERVED 7 %d\r\n" % len(body) + body + b"\r\n"
    assert replies.found(7, body) == b"FOUND 7 %d\r\n" % len(body) + body + b"\r\n"
    assert replies.ok(body) == b"OK %d\r\n" % len(body) + body + b"\r\n"


@pytest.mark.parametrize("make", [replies.reserved, replies.found])
def test_a_long_body_is_not_copied(make: Callable[[int, bytes], bytes | LongReply]) -> None:
    longest = bytes(replies.LONG_BODY_BYTES)
    assert isinstance(make(7, longest), bytes)
    longer = longest + b"!"
    reply = make(7, longer)
    assert isinstance(reply, LongReply)
    head, body, end = replies.wire_pieces([reply])
    assert (head[-len(b" 7 16385\r\n") :], end) == (b" 7 16385\r\n", b"\r\n")
    assert body is longer
    assert len(reply) == len(head + body + end)


def test_what_is_short_between_long_bodies_is_joined() -> None:
    long = LongReply(b"FOUND 1 3\r\n", b"abc")
    assert replies.wire_pieces([b"a", b"b", long, b"c", long, long, b"d"]) == [
        *(b"abFOUND 1 3\r\n", b"abc", b"\r\ncFOUND 1 3\r\n", b"abc"),
        *(b"\r\nFOUND 1 3\r\n", b"abc", b"\r\nd"),
    ]
    assert replies.wire_pieces([]) == []


def test_a_list_has_one_item_a_line() -> None:
    assert replies.list_document([]) == b"---\n"
    assert replies.list_document([b"default", b"a-b"]) == b"---\n- default\n- a-b\n"


def test_the_document_of_a_job_quotes_its_tube_and_not_its_state() -> None:
    keys = "id pri age delay ttr time-left reserves timeouts releases buries kicks"
    values: dict[bytes, object] = {key.encode(): i for i, key in enumerate(keys.split())}
    values |= {b"tube": b"t", b"state": b"ready", b"file": 0}
    assert replies.STATS_JOB % values == (
        b'---\nid: 0\ntube: "t"\nstate: ready\npri: 1\nage: 2\ndelay: 3\nttr: 4\ntime-left: 5\n'
        b"file: 0\nreserves: 6\ntimeouts: 7\nreleases: 8\nburies: 9\nkicks: 10\n"
    )


def test_the_document_of_a_tube_quotes_its_name() -> None:
    keys = (
        "urgent ready reserved delayed buried total-jobs using watching waiting deletes pauses "
        "pause pause-time-left"
    )
    values: dict[bytes, object] = {key.encode(): i for i, key in enumerate(keys.split())}
    assert replies.STATS_TUBE % (values | {b"name": b"t"}) == (
        b'---\nname: "t"\ncurrent-jobs-urgent: 0\ncurrent-jobs-ready: 1\n'
        b"current-jobs-reserved: 2\ncurrent-jobs-delayed: 3\ncurrent-jobs-buried: 4\n"
        b"total-jobs: 5\ncurrent-using: 6\ncurrent-watching: 7\ncurrent-waiting: 8\n"
        b"cmd-delete: 9\ncmd-pause-tube: 10\npause: 11\npause-time-left: 12\n"
    )
