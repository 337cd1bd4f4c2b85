"""Commands are written as the protocol wants them, or refused before anything is sent."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from beanrow import errors
from beanrow.protocol import requests
from beanrow.protocol.limits import MAX_LINE_BYTES, MAX_U32, MAX_U64, TUBE_NAME
from beanrow.protocol.requests import JobFound, Request
from beanrow.protocol.responses import Response

LINES: list[tuple[Request[Any], bytes]] = [
    (requests.put(b"a\r\nb"), b"put 2147483648 0 120 4\r\na\r\nb\r\n"),
    (requests.put(b"", 0, MAX_U32, 1), b"put 0 4294967295 1 0\r\n\r\n"),
    (requests.use("mail"), b"use mail\r\n"),
    (requests.reserve(), b"reserve\r\n"),
    (requests.reserve(0), b"reserve-with-timeout 0\r\n"),
    (requests.reserve_job(MAX_U64), b"reserve-job 18446744073709551615\r\n"),
    (requests.delete(7), b"delete 7\r\n"),
    (requests.release(7, 8, 9), b"release 7 8 9\r\n"),
    (requests.bury(7, 8), b"bury 7 8\r\n"),
    (requests.touch(7), b"touch 7\r\n"),
    (requests.watch("+/;.$_()"), b"watch +/;.$_()\r\n"),
    (requests.ignore("a-b"), b"ignore a-b\r\n"),
    (requests.peek(7), b"peek 7\r\n"),
    (requests.peek_ready(), b"peek-ready\r\n"),
    (requests.peek_delayed(), b"peek-delayed\r\n"),
    (requests.peek_buried(), b"peek-buried\r\n"),
    (requests.kick(3), b"kick 3\r\n"),
    (requests.kick_job(7), b"kick-job 7\r\n"),
    (requests.pause_tube("mail", 60), b"pause-tube mail 60\r\n"),
    (requests.stats(), b"stats\r\n"),
    (requests.stats_tube("mail"), b"stats-tube mail\r\n"),
    (requests.stats_job(7), b"stats-job 7\r\n"),
    (requests.list_tubes(), b"list-tubes\r\n"),
    (requests.list_tube_used(), b"list-tube-used\r\n"),
    (requests.list_tubes_watched(), b"list-tubes-watched\r\n"),
]

REFUSED: list[Callable[[], Request[Any]]] = [
    lambda: requests.put(b"", priority=-1),
    lambda: requests.put(b"", priority=MAX_U32 + 1),
    lambda: requests.put(b"", delay_s=MAX_U32 + 1),
    lambda: requests.put(b"", ttr_s=True),
    lambda: requests.reserve(-1),
    lambda: requests.reserve(0.5),  # type: ignore[arg-type]
    lambda: requests.reserve(MAX_U32 + 1),
    lambda: requests.delete(-1),
    lambda: requests.delete(MAX_U64 + 1),
    lambda: requests.delete("7"),  # type: ignore[arg-type]
    lambda: requests.kick(MAX_U32 + 1),
    lambda: requests.use(""),
    lambda: requests.use("-a"),
    lambda: requests.use("a b"),
    lambda: requests.use("a\r\nquit"),
    lambda: requests.use("a\n"),
    lambda: requests.use("é"),
    lambda: requests.use("x" * 201),
    lambda: requests.use(b"mail"),  # type: ignore[arg-type]
    lambda: requests.pause_tube("a", -1),
]


@pytest.mark.parametrize(("request_", "data"), LINES, ids=lambda value: getattr(value, "line", ""))
def test_a_command_is_written(request_: Request[Any], data: bytes) -> None:
    assert request_.encode() == data


@pytest.mark.parametrize("make", REFUSED)
def test_what_the_protocol_has_no_room_for_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(errors.InvalidArgument):
        make()


def test_a_refusal_names_the_argument_and_its_range() -> None:
    with pytest.raises(errors.InvalidArgument, match=r"ttr: -3 .* from 0 to 4294967295"):
        requests.put(b"", ttr_s=-3)


def test_a_refused_tube_name_is_told_which_characters_there_are() -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        requests.use("")
    named = re.search(r"characters of (\S+) with", str(caught.value))
    assert named is not None
    for character in map(chr, range(128)):
        is_allowed = TUBE_NAME.fullmatch(f"a{character}".encode()) is not None
        assert is_allowed == (character.isalnum() or character in named[1])


def test_the_longest_command_fits_into_a_line() -> None:
    assert len(requests.pause_tube("x" * 200, MAX_U32).encode()) <= MAX_LINE_BYTES


def test_answers_become_results() -> None:
    job = Response("RESERVED", number=7, body=b"x")
    assert requests.put(b"").result(Response("INSERTED", number=7)) == 7
    assert requests.reserve(1).result(job) == JobFound(7, b"x")
    assert requests.reserve(1).result(Response("TIMED_OUT")) is None
    assert requests.peek_ready().result(Response("NOT_FOUND")) is None
    assert requests.list_tubes().result(Response("OK", body=b"---\n- a\n")) == ["a"]


def test_how_long_the_server_may_take_is_told() -> None:
    assert requests.stats().server_may_wait_s == 0
    assert requests.reserve(5).server_may_wait_s == 5
    assert requests.reserve().server_may_wait_s is None


@pytest.mark.parametrize(
    ("request_", "response", "job_id"),
    [
        (requests.put(b""), Response("BURIED", number=9), 9),
        (requests.release(7, 0, 0), Response("BURIED"), 7),
    ],
)
def test_a_job_buried_for_want_of_memory_is_named(
    request_: Request[Any], response: Response, job_id: int
) -> None:
    with pytest.raises(errors.Buried, match=f"job {job_id}") as caught:
        request_.result(response)
    assert caught.value.job_id == job_id


def test_an_answer_to_another_command_is_a_protocol_error() -> None:
    with pytest.raises(errors.ProtocolError, match="delete 7: answered INSERTED"):
        requests.delete(7).result(Response("INSERTED", number=7))
    with pytest.raises(errors.ProtocolError, match="KICKED without a number"):
        requests.kick(1).result(Response("KICKED"))


@pytest.mark.parametrize("word", ["BAD_FORMAT", "UNKNOWN_COMMAND"])
def test_a_rejected_line_of_a_put_leaves_its_body_to_be_read_as_commands(word: str) -> None:
    with pytest.raises(errors.ProtocolError, match="read the body as commands"):
        requests.put(b"quit").result(Response(word))
