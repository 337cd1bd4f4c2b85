"""Stats documents are read with strings bare, as beanstalkd 1.12 writes them, or quoted as 1.13."""

import pytest

from beanrow.errors import ProtocolError
from beanrow.protocol.documents import parse_list, parse_mapping


def test_bare_and_quoted_strings_are_the_same() -> None:
    bare = b"---\nname: default\nos: #1 SMP: it\nversion: 1.12\npause: 0\n\n"
    quoted = b'---\nname: "default"\nos: "#1 SMP: it"\nversion: "1.12"\npause: 0\n'
    assert parse_mapping(bare) == parse_mapping(quoted)
    assert parse_mapping(bare) == {
        "name": "default",
        "os": "#1 SMP: it",
        "version": "1.12",
        "pause": "0",
    }


def test_the_order_of_the_server_is_kept() -> None:
    assert list(parse_mapping(b"---\nb: 1\na: 2\n")) == ["b", "a"]


def test_an_empty_value_and_a_lone_quote_are_values() -> None:
    assert parse_mapping(b'---\na:\nb: "\nc: ""\n') == {"a": "", "b": '"', "c": ""}


def test_bytes_that_are_no_utf8_can_be_shown() -> None:
    assert parse_mapping(b"---\nhostname: caf\xe9\n") == {"hostname": "caf\\xe9"}


def test_a_list_is_read() -> None:
    assert parse_list(b'---\n- default\n- "quoted"\n- 12\n') == ["default", "quoted", "12"]
    assert parse_list(b"---\n") == []


@pytest.mark.parametrize("document", [b"", b"a: 1\n", b"---\na\n", b"---\n: 1\n", b"---\n- a\n"])
def test_what_is_no_mapping_is_refused(document: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_mapping(document)


@pytest.mark.parametrize("document", [b"", b"- a\n", b"---\na: 1\n", b"---\n-a\n"])
def test_what_is_no_list_is_refused(document: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_list(document)
