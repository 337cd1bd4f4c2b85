"""Replies are read the same however the network cuts them, and garbage is told as such."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beanrow import errors
from beanrow.protocol.limits import MAX_LINE_BYTES, MAX_U64
from beanrow.protocol.responses import ERRORS, Response, ResponseReader

EXAMPLES = [
    (b"INSERTED 7\r\n", Response("INSERTED", number=7)),
    (b"INSERTED %d\r\n" % MAX_U64, Response("INSERTED", number=MAX_U64)),
    (b"BURIED\r\n", Response("BURIED")),
    (b"BURIED 7\r\n", Response("BURIED", number=7)),
    (b"USING a-b\r\n", Response("USING", name="a-b")),
    (b"USING %b\r\n" % (b"x" * 200), Response("USING", name="x" * 200)),
    (b"WATCHING 2\r\n", Response("WATCHING", number=2)),
    (b"RESERVED 7 5\r\nhello\r\n", Response("RESERVED", number=7, body=b"hello")),
    (b"FOUND 7 0\r\n\r\n", Response("FOUND", number=7, body=b"")),
    (b"FOUND 7 4\r\n\r\n\r\n\r\n", Response("FOUND", number=7, body=b"\r\n\r\n")),
    (b"OK 3\r\na\0\xff\r\n", Response("OK", body=b"a\0\xff")),
    (b"KICKED 3\r\n", Response("KICKED", number=3)),
    (b"KICKED\r\n", Response("KICKED")),
    (b"DELETED\r\n", Response("DELETED")),
    (b"RELEASED\r\n", Response("RELEASED")),
    (b"TOUCHED\r\n", Response("TOUCHED")),
    (b"PAUSED\r\n", Response("PAUSED")),
    (b"TIMED_OUT\r\n", Response("TIMED_OUT")),
    (b"DEADLINE_SOON\r\n", Response("DEADLINE_SOON")),
    (b"NOT_FOUND\r\n", Response("NOT_FOUND")),
    (b"EXPECTED_CRLF\r\n", Response("EXPECTED_CRLF")),
]

GARBAGE = [
    b"HELLO\r\n",
    b"\r\n",
    b"deleted\r\n",
    b"DELETED \r\n",
    b"DELETED 1\r\n",
    b"\xff\xfe\r\n",
    b"INSERTED\r\n",
    b"INSERTED x\r\n",
    b"INSERTED -1\r\n",
    b"INSERTED  1\r\n",
    b"INSERTED %d\r\n" % (MAX_U64 + 1),
    b"USING\r\n",
    b"USING -a\r\n",
    b"USING a b\r\n",
    b"RESERVED 1\r\n",
    b"RESERVED 1 3 4\r\n",
    b"RESERVED 1 3\r\nabcd\r\n",
    b"OK 11\r\n",
    b"x" * MAX_LINE_BYTES,
]


def read_all(*chunks: bytes, max_body_bytes: int = 10) -> list[Response]:
    reader = ResponseReader(max_body_bytes)
    responses = []
    for chunk in chunks:
        reader.feed(chunk)
        while (response := reader.next()) is not None:
            responses.append(response)
    assert len(reader) == 0
    return responses


@pytest.mark.parametrize(("data", "response"), EXAMPLES, ids=str)
def test_a_reply_is_read(data: bytes, response: Response) -> None:
    assert read_all(data) == [response]
    assert read_all(*(bytes([byte]) for byte in data)) == [response]


@pytest.mark.parametrize("data", GARBAGE)
def test_garbage_is_told_from_a_reply(data: bytes) -> None:
    with pytest.raises(errors.ProtocolError):
        read_all(data)


@given(st.data())
def test_replies_are_read_under_any_chunking(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(EXAMPLES), max_size=8))
    stream = b"".join(example for example, _ in chosen)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    chunks = [stream[start:end] for start, end in pairwise([0, *cuts, len(stream)])]
    assert read_all(*chunks) == [response for _, response in chosen]


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_random_bytes_are_a_reply_or_a_protocol_error(chunks: list[bytes]) -> None:
    reader = ResponseReader(max_body_bytes=1000)
    try:
        for chunk in chunks:
            reader.feed(chunk)
            while (response := reader.next()) is not None:
                assert isinstance(response, Response)
    except errors.ProtocolError:
        pass
    else:
        assert len(reader) < MAX_LINE_BYTES + 1000 + 2


def test_an_announced_body_waits_for_its_last_byte() -> None:
    reader = ResponseReader()
    reader.feed(b"OK 2\r\nab\r")
    assert reader.next() is None
    reader.feed(b"\n")
    assert reader.next() == Response("OK", body=b"ab")


@pytest.mark.parametrize("word", sorted(ERRORS))
def test_every_refusal_has_an_exception_that_names_the_command(word: str) -> None:
    error = Response(word).error("release 7 0 0", job_id=7)
    assert isinstance(error, errors.ReplyError)
    assert type(error) is ERRORS[word]
    assert str(error).startswith(f"release 7 0 0: {word}: ")


def test_the_table_has_every_exception_for_a_reply() -> None:
    assert set(ERRORS.values()) == set(errors.ReplyError.__subclasses__())


def test_a_word_that_is_no_refusal_is_a_protocol_error() -> None:
    assert isinstance(Response("DELETED").error("use x"), errors.ProtocolError)
