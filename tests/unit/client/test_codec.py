"""Values become bodies and bodies values, or the user is told why not."""

from typing import Any

import pytest

from beanrow.client.codec import decode_body, encode_body, find_codec
from beanrow.errors import CodecError, InvalidArgument


class Reversing:
    def encode(self, value: Any, /) -> Any:
        return value[::-1]

    def decode(self, body: bytes, /) -> bytes:
        return body[::-1]


@pytest.mark.parametrize(
    ("choice", "value", "body", "decoded"),
    [
        (None, b"\xff\0", b"\xff\0", b"\xff\0"),
        (None, "é", b"\xc3\xa9", b"\xc3\xa9"),
        (None, bytearray(b"a"), b"a", b"a"),
        (None, memoryview(b"a"), b"a", b"a"),
        ("utf-8", "é", b"\xc3\xa9", "é"),
        ("latin-1", "é", b"\xe9", "é"),
        (
            "json",
            {"to": ["é"], "n": None},
            b'{"to":["\xc3\xa9"],"n":null}',
            {"to": ["é"], "n": None},
        ),
        (Reversing(), b"ab", b"ba", b"ab"),
    ],
)
def test_a_value_goes_there_and_back(choice: Any, value: Any, body: bytes, decoded: Any) -> None:
    codec = find_codec(choice)
    assert encode_body(codec, value) == body
    assert decode_body(codec, 1, body) == decoded


@pytest.mark.parametrize(
    ("choice", "value"), [(None, 7), (None, None), ("utf-8", b"a"), ("ascii", "é"), ("json", b"a")]
)
def test_what_cannot_be_encoded_is_told(choice: str | None, value: object) -> None:
    with pytest.raises(CodecError, match="cannot be encoded"):
        encode_body(find_codec(choice), value)


def test_a_codec_must_make_bytes() -> None:
    with pytest.raises(CodecError, match="has made str, not bytes"):
        encode_body(find_codec(Reversing()), "ab")


@pytest.mark.parametrize("choice", ["utf-8", "json"])
def test_what_cannot_be_decoded_is_told_with_the_job(choice: str) -> None:
    with pytest.raises(CodecError, match="body of job 7 cannot be decoded"):
        decode_body(find_codec(choice), 7, b"\xff")


def test_what_is_nested_too_deeply_is_told() -> None:
    codec, depth = find_codec("json"), 100_000
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    with pytest.raises(CodecError, match="cannot be encoded"):
        encode_body(codec, value)
    with pytest.raises(CodecError, match="body of job 7 cannot be decoded"):
        decode_body(codec, 7, b"[" * depth + b"]" * depth)


@pytest.mark.parametrize("choice", ["jsn", "hex", "undefined", "a\0", "\ud800", 5, b"json"])
def test_an_unknown_codec_is_refused(choice: Any) -> None:
    with pytest.raises(InvalidArgument, match="codec: "):
        find_codec(choice)
