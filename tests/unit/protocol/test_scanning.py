"""What is read byte by byte when compiled is what Python's own methods would find."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beanrow.protocol.limits import CRLF, MAX_LINE_BYTES
from beanrow.protocol.scanning import find_crlf, is_crlf, read_decimal

crumbs = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"x", b"x" * 100, b"x" * 223]))


@given(crumbs, st.integers(0, 600))
def test_a_crlf_is_found_where_find_finds_it(pieces: list[bytes], start: int) -> None:
    buffer = b"".join(pieces)
    assert find_crlf(buffer, start) == buffer.find(CRLF, start)


@pytest.mark.parametrize("line_bytes", [0, 1, 222, MAX_LINE_BYTES - 1, MAX_LINE_BYTES, 1000])
def test_a_crlf_is_found_however_far_away(line_bytes: int) -> None:
    assert find_crlf(b"x" * line_bytes + b"\r\n", 0) == line_bytes
    assert find_crlf(b"x" * line_bytes + b"\r", 0) == -1


@pytest.mark.parametrize(
    ("pair", "ends"),
    [(b"\r\n", True), (b"\n\r", False), (b"\rx", False), (b"x\n", False), (b"\0\0", False)],
)
def test_a_crlf_is_known_by_both_bytes(pair: bytes, ends: bool) -> None:
    assert is_crlf(b"ab" + pair + b"c", 2) == ends


@given(st.integers(0, 10**25), st.integers(0, 20))
def test_digits_are_the_number_that_they_stand_for(number: int, zeros: int) -> None:
    assert read_decimal(b"0" * zeros + b"%d" % number) == number


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" 1",
        b"1 ",
        b"+1",
        b"-1",
        b"1_0",
        b"1.0",
        b"1/",
        b"1:",
        b"\xb2",
        b"1" * 30 + b"x",
        b"\0",
    ],
)
def test_what_is_not_all_digits_is_no_number(text: bytes) -> None:
    assert read_decimal(text) == -1
