"""Where a command ends, how long it may be, and what happens to the bytes behind an error."""

import subprocess
import sys
from typing import Final

import pytest

from beanrow.protocol import commands, replies
from beanrow.protocol.commands import UNCOUNTED
from beanrow.protocol.limits import DEFAULT_MAX_JOB_BYTES, MAX_LINE_BYTES
from beanrow.protocol.parser import Parser

MAX_JOB_BYTES: Final = 10

BAD_FORMAT: Final = (commands.REFUSED, UNCOUNTED, b"", replies.BAD_FORMAT)
UNKNOWN_COMMAND: Final = (commands.REFUSED, UNCOUNTED, b"", replies.UNKNOWN_COMMAND)
JOB_TOO_BIG: Final = (commands.REFUSED, commands.PUT, b"", replies.JOB_TOO_BIG)
STATS: Final = (commands.STATS, 0, b"", b"")
QUIT: Final = (commands.QUIT, 0, b"", b"")

#: Verb, number (of what is refused: as what it counts), body, error.
Seen = tuple[int, int, bytes, bytes]


def drain(parser: Parser) -> list[Seen]:
    found = []
    while (command := parser.next()) is not None:
        number = command.counts_as if command.verb == commands.REFUSED else command.number
        found.append((command.verb, number, command.body, command.error))
    return found


def read(*chunks: bytes, max_job_bytes: int = MAX_JOB_BYTES) -> list[Seen]:
    """The commands that come out when these chunks go in one after the other."""
    parser = Parser(max_job_bytes)
    found = []
    for chunk in chunks:
        parser.feed(chunk)
        found += drain(parser)
    return found


def put(body: bytes, reply: bytes = b"") -> Seen:
    return commands.PUT, len(body), b"" if reply else body, reply


def line_of(size: int, verb: bytes = b"kick 1") -> bytes:
    """A line of so many bytes, its CRLF included. Behind its bound a kick takes anything."""
    return verb.ljust(size - 2) + b"\r\n"


# --- lines --------------------------------------------------------------------------------------


def test_nothing_comes_of_nothing() -> None:
    parser = Parser(MAX_JOB_BYTES)
    assert parser.next() is None
    parser.feed(b"")
    assert parser.next() is None
    assert parser.waiting_bytes() == 0


def test_commands_come_in_order() -> None:
    assert read(b"stats\r\nxyz\r\nquit\r\n") == [STATS, UNKNOWN_COMMAND, QUIT]


@pytest.mark.parametrize("cut", range(1, len(b"stats\r\nquit\r\n")))
def test_a_cut_anywhere_does_not_matter(cut: int) -> None:
    stream = b"stats\r\nquit\r\n"
    assert read(stream[:cut], stream[cut:]) == [STATS, QUIT]


def test_a_command_waits_for_its_last_byte() -> None:
    assert read(b"stats") == []
    assert read(b"stats\r") == []
    assert read(b"stats\r", b"\n") == [STATS]


def test_an_empty_line_is_unknown() -> None:
    assert read(b"\r\n\r\n") == [UNKNOWN_COMMAND, UNKNOWN_COMMAND]


@pytest.mark.parametrize(
    "line",
    [b"list-tubes\r\r\n", b"list-tubes\n\r\n", b"use a\rb\r\n", b"use a\n\r\n", b"stats\0\r\n"],
)
def test_cr_lf_and_nul_alone_are_bytes_of_the_line(line: bytes) -> None:
    assert read(line, b"stats\r\n") == [BAD_FORMAT, STATS]


def test_lf_alone_does_not_end_a_line() -> None:
    assert read(b"stats\nstats\n") == []
    assert read(b"x\nstats\r\n") == [UNKNOWN_COMMAND]


def test_lf_before_cr_does_not_either() -> None:
    assert read(b"stats\n\r") == []
    assert read(b"stats\n\r", b"\n") == [BAD_FORMAT]


# --- how long a line may be ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [222, 223, 224])
def test_a_line_has_224_bytes_at_most_its_crlf_included(size: int) -> None:
    line = line_of(size)
    assert read(line) == [(commands.KICK, 1, b"", b"")]
    for cut in range(size - 3, size):
        assert read(line[:cut], line[cut:]) == [(commands.KICK, 1, b"", b"")]


@pytest.mark.parametrize("size", [225, 226, 448, 449, 450, 673, 100_000])
def test_a_longer_one_is_malformed_once(size: int) -> None:
    line = line_of(size)
    assert read(line, b"stats\r\n") == [BAD_FORMAT, STATS]
    for cut in (100, 223, 224, 225, size - 2, size - 1):
        assert read(line[:cut], line[cut:] + b"stats\r\n") == [BAD_FORMAT, STATS]


def test_a_line_that_is_too_long_is_answered_at_its_end() -> None:
    parser = Parser(MAX_JOB_BYTES)
    for _ in range(100):
        parser.feed(b"x" * 1000)
        assert parser.next() is None
        assert parser.waiting_bytes() < MAX_LINE_BYTES
    parser.feed(b"\r")
    assert parser.next() is None
    parser.feed(b"\nstats\r\n")
    assert drain(parser) == [BAD_FORMAT, STATS]


def test_in_a_line_that_is_too_long_cr_alone_ends_nothing() -> None:
    assert read(b"x" * 300 + b"\r", b"x", b"\r", b"\r", b"\n") == [BAD_FORMAT]
    assert read(b"x" * 300 + b"\r", b"x\n", b"\r\nstats\r\n") == [BAD_FORMAT, STATS]


def test_a_put_whose_line_is_too_long_has_no_body() -> None:
    line = b"put 0 0 1" + b" " * 300 + b"5\r\n"
    assert read(line + b"stats\r\n") == [BAD_FORMAT, STATS]


# --- bodies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [b"", b"x", b"x" * MAX_JOB_BYTES, b"\r\n", b"\r\nstats\r\n", b"\0\xff"]
)
def test_a_body_is_any_bytes_up_to_the_largest_size(body: bytes) -> None:
    stream = b"put 0 0 1 %d\r\n%b\r\nstats\r\n" % (len(body), body)
    assert read(stream) == [put(body), STATS]
    assert read(*(stream[i : i + 1] for i in range(len(stream)))) == [put(body), STATS]


def test_the_largest_size_is_65535_unless_told_otherwise() -> None:
    for size, command in ((65535, put(b"x" * 65535)), (65536, JOB_TOO_BIG)):
        stream = b"put 0 0 1 %d\r\n%b\r\nstats\r\n" % (size, b"x" * size)
        assert read(stream, max_job_bytes=DEFAULT_MAX_JOB_BYTES) == [command, STATS]


def test_even_a_largest_size_of_0_lets_an_empty_body_in() -> None:
    stream = b"put 0 0 1 0\r\n\r\nput 0 0 1 1\r\nx\r\n"
    assert read(stream, max_job_bytes=0) == [put(b""), JOB_TOO_BIG]


def test_a_put_is_known_before_its_body_has_come() -> None:
    parser = Parser(MAX_JOB_BYTES)
    parser.feed(b"put 1 2 3 4\r\nab")
    assert parser.next() is None
    unfinished = parser.begun
    assert unfinished is not None
    assert (unfinished.pri, unfinished.delay_s, unfinished.ttr_s) == (1, 2, 3)
    parser.feed(b"cd\r\n")
    assert parser.next() is unfinished
    assert unfinished.body == b"abcd"
    assert parser.begun is None


@pytest.mark.parametrize("end", [b"xy", b"\n\r", b"\r\r", b"x\n", b"\rx"])
def test_a_body_must_end_in_crlf_and_its_size_is_consumed(end: bytes) -> None:
    refused = put(b"abc", replies.EXPECTED_CRLF)
    stream = b"put 0 0 1 3\r\nabc" + end + b"stats\r\n"
    assert read(stream) == [refused, STATS]
    assert read(*(stream[i : i + 1] for i in range(len(stream)))) == [refused, STATS]


def test_a_body_that_is_too_big_is_skipped_before_it_is_answered() -> None:
    parser = Parser(MAX_JOB_BYTES)
    parser.feed(b"put 0 0 1 11\r\nstats\r\nstat")
    assert parser.next() is None
    assert parser.begun is not None
    assert parser.begun.error == replies.JOB_TOO_BIG
    parser.feed(b"\r")
    assert parser.next() is None
    parser.feed(b"\nstats\r\n")
    assert drain(parser) == [JOB_TOO_BIG, STATS]


def test_the_end_of_a_body_that_is_too_big_is_not_looked_at() -> None:
    assert read(b"put 0 0 1 11\r\n" + b"x" * 13 + b"stats\r\n") == [JOB_TOO_BIG, STATS]


def test_of_a_body_that_is_too_big_nothing_is_kept() -> None:
    parser = Parser(MAX_JOB_BYTES)
    parser.feed(b"put 0 0 1 4294967295\r\n")
    assert parser.next() is None
    for _ in range(10):
        parser.feed(b"x" * 100_000)
        assert parser.next() is None
        assert parser.waiting_bytes() == 0


# --- which error of a put comes first -----------------------------------------------------------


def test_wrong_numbers_come_first_and_the_body_is_read_as_commands() -> None:
    assert read(b"put 0 0 x 11\r\nstats\r\n") == [BAD_FORMAT, STATS]


def test_then_comes_the_size_even_if_text_follows_the_numbers() -> None:
    assert read(b"put 0 0 1 11x\r\n" + b"x" * 11 + b"\r\nstats\r\n") == [JOB_TOO_BIG, STATS]


@pytest.mark.parametrize("tail", [b"x", b" ", b" 5"])
def test_then_text_behind_the_numbers_which_counts_as_a_put(tail: bytes) -> None:
    refused = (commands.REFUSED, commands.PUT, b"", replies.BAD_FORMAT)
    assert read(b"put 0 0 1 5" + tail + b"\r\nstats\r\n") == [refused, STATS]


# --- memory -------------------------------------------------------------------------------------

#: Takes a body in, and runs out of memory when it is complete.
_WITHOUT_MEMORY: Final = """
import resource
from beanrow.protocol.parser import Parser

SIZE = 128 << 20
parser = Parser(SIZE)
parser.feed(b"put 1 2 3 %d\\r\\n" % SIZE)
BEFORE
assert parser.next() is None
chunk = b"x" * (1 << 20)
for _ in range(SIZE >> 20):
    parser.feed(chunk)
    assert parser.next() is None
AFTER
parser.feed(b"\\r\\nquit\\r\\n")
command = parser.next()
assert command.error == b"OUT_OF_MEMORY\\r\\n", command.error
assert parser.begun is None
print(command.verb, parser.next().verb)
"""
_LIMIT: Final = """
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20), used + (32 << 20)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc to tell the memory in use")
@pytest.mark.parametrize(("before", "after"), [(_LIMIT, ""), ("", _LIMIT)])
def test_a_body_for_which_memory_is_lacking_is_skipped(before: str, after: str) -> None:
    """Be it lacking on the way, or at the end, when the body is complete."""
    program = _WITHOUT_MEMORY.replace("BEFORE", before).replace("AFTER", after)
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (run.stdout, run.stderr) == (f"{commands.PUT} {commands.QUIT}\n", "")
