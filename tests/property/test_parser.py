"""The parser reads the same commands however the bytes are cut, and never holds many of them."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from beanrow.protocol import commands, replies
from beanrow.protocol.commands import Command
from beanrow.protocol.limits import MAX_LINE_BYTES
from beanrow.protocol.parser import Parser

MAX_JOB_BYTES: Final = 300

#: All that there is to a command: its verb, its arguments, its body and its error.
Seen = tuple[int, int, int, int, int, bytes, bytes, bytes, int]


def seen(command: Command) -> Seen:
    return (
        *(command.verb, command.number, command.pri, command.delay_s, command.ttr_s),
        *(command.tube, command.body, command.error, command.counts_as),
    )


def drain(parser: Parser) -> list[Seen]:
    found = []
    while (command := parser.next()) is not None:
        found.append(seen(command))
    return found


def read_whole(stream: bytes) -> list[Seen]:
    parser = Parser(MAX_JOB_BYTES)
    parser.feed(stream)
    return drain(parser)


# --- streams of which it is known what they say -------------------------------------------------

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
bodies = st.binary(max_size=MAX_JOB_BYTES) | st.sampled_from([b"", b"\r", b"\r\n", b"\n\r\n\0"])
names = st.from_regex(rb"[A-Za-z0-9+/;.$_()][A-Za-z0-9\-+/;.$_()]{0,199}", fullmatch=True)

#: A piece of a stream and the command that it is.
Piece = tuple[bytes, Seen]


def said(
    verb: int,
    number: int = 0,
    pri: int = 0,
    delay_s: int = 0,
    ttr_s: int = 0,
    tube: bytes = b"",
    body: bytes = b"",
    error: bytes = b"",
) -> Seen:
    return verb, number, pri, delay_s, ttr_s, tube, body, error, verb


def refusal(error: bytes, counts_as: int = commands.UNCOUNTED) -> Seen:
    return (*said(commands.REFUSED, error=error)[:-1], counts_as)


@st.composite
def puts(draw: st.DrawFn) -> Piece:
    pri, delay_s, ttr_s, body = draw(u32), draw(u32), draw(u32), draw(bodies)
    line = b"put %d %d %d %d\r\n" % (pri, delay_s, ttr_s, len(body))
    numbers = (len(body), pri, delay_s, ttr_s)
    end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n\r", b"\r\r", b"xy"]))
    if end == b"\r\n":
        return line + body + end, said(commands.PUT, *numbers, body=body)
    return line + body + end, said(commands.PUT, *numbers, error=replies.EXPECTED_CRLF)


@st.composite
def too_big_puts(draw: st.DrawFn) -> Piece:
    body = draw(st.binary(min_size=MAX_JOB_BYTES + 1, max_size=MAX_JOB_BYTES + 99))
    tail = draw(st.sampled_from([b"", b" ", b"x"]))
    piece = b"put 0 0 1 %d%b\r\n%b\r\n" % (len(body), tail, body)
    return piece, refusal(replies.JOB_TOO_BIG, commands.PUT)


@st.composite
def too_long_lines(draw: st.DrawFn) -> Piece:
    line = draw(st.binary(min_size=MAX_LINE_BYTES - 1, max_size=3 * MAX_LINE_BYTES))
    return line.replace(b"\n", b"\r") + b"\r\n", refusal(replies.BAD_FORMAT)


pieces = st.one_of(
    puts(),
    puts(),
    too_big_puts(),
    too_long_lines(),
    st.just((b"reserve\r\n", said(commands.RESERVE))),
    st.just((b"\r\n", refusal(replies.UNKNOWN_COMMAND))),
    st.just((b"put 1 2 3 4x\r\n", refusal(replies.BAD_FORMAT, commands.PUT))),
    u64.map(lambda number: (b"delete %d\r\n" % number, said(commands.DELETE, number))),
    names.map(lambda name: (b"watch %b\r\n" % name, said(commands.WATCH, tube=name))),
    st.tuples(u64, u32, u32).map(
        lambda numbers: (b"release %d %d %d\r\n" % numbers, said(commands.RELEASE, *numbers))
    ),
)
cuts = st.lists(st.tuples(st.integers(0, 40) | st.integers(0, 2000), st.booleans()))


def read_in_chunks(stream: bytes, cuts: list[tuple[int, bool]]) -> list[Seen]:
    """`cuts` are the sizes of the chunks, and whether the commands are asked for after each."""
    parser = Parser(MAX_JOB_BYTES)
    found = []
    position = 0
    for size, drains in cuts:
        parser.feed(stream[position : position + size])
        position += size
        if drains:
            found += drain(parser)
    parser.feed(stream[position:])
    return found + drain(parser)


def read_bytewise(stream: bytes) -> list[Seen]:
    return read_in_chunks(stream, [(1, True)] * len(stream))


@given(st.lists(pieces, max_size=8), cuts)
def test_a_stream_says_what_was_said(pieces: list[Piece], cuts: list[tuple[int, bool]]) -> None:
    stream = b"".join(piece for piece, _ in pieces)
    expected = [command for _, command in pieces]
    assert read_whole(stream) == expected
    assert read_in_chunks(stream, cuts) == expected
    assert read_bytewise(stream) == expected


# --- streams of which nothing is known ----------------------------------------------------------

words = st.sampled_from([verb.word for verb in commands.VERBS])
shreds = st.one_of(
    words,
    st.sampled_from([b"\r\n", b"\r\n", b"\r", b"\n", b"\0", b" ", b"0", b"7", b"-1", b"x"]),
    st.integers(0, 400).map(lambda size: b"put 0 0 1 %d\r\n" % size),
    st.binary(max_size=300),
)


@given(st.lists(shreds, max_size=30).map(b"".join), cuts)
def test_cutting_changes_nothing_and_nothing_raises(
    stream: bytes, cuts: list[tuple[int, bool]]
) -> None:
    expected = read_whole(stream)
    assert read_in_chunks(stream, cuts) == expected
    assert read_bytewise(stream) == expected


@given(st.lists(st.binary(max_size=5000).filter(lambda chunk: b"\n" not in chunk), max_size=20))
def test_of_an_endless_line_nothing_is_kept(chunks: list[bytes]) -> None:
    parser = Parser(MAX_JOB_BYTES)
    for chunk in chunks:
        parser.feed(chunk)
        assert drain(parser) == []
        assert parser.waiting_bytes() < MAX_LINE_BYTES


@given(st.lists(st.binary(max_size=5000), max_size=20))
def test_of_a_refused_body_nothing_is_kept(chunks: list[bytes]) -> None:
    parser = Parser(MAX_JOB_BYTES)
    parser.feed(b"put 0 0 1 %d\r\n" % (2**32 - 1))
    assert drain(parser) == []
    for chunk in chunks:
        parser.feed(chunk)
        assert drain(parser) == []
        assert parser.waiting_bytes() == 0
