"""Bodies are bytes; a codec makes something else of them.

Without one, `put` takes bytes (and str, sent as UTF-8) and `job.body` is bytes. The name of a
text encoding, as in `codec="utf-8"`, makes both str; `codec="json"` makes them whatever JSON can
say; and any object that has `encode` and `decode` will do.
"""

import codecs
import json
from typing import Any, Final, Protocol

from beanrow.errors import CodecError, InvalidArgument

#: How codecs say that they cannot turn something. JSON of a thousand open brackets, which anybody
#: can put, makes a RecursionError.
_REFUSALS: Final = (ValueError, TypeError, RecursionError)


class Codec(Protocol):
    """Turns values into bodies and bodies into values.

    Both methods raise ValueError or TypeError for what they cannot turn; RecursionError, for what
    is nested too deeply, is understood as well.
    """

    def encode(self, value: Any, /) -> bytes:
        """Make the body that `value` is sent as."""
        ...

    def decode(self, body: bytes, /) -> Any:
        """Make the value of a received body."""
        ...


class BytesCodec:
    """Bodies as they are; str is sent as UTF-8."""

    def encode(self, value: Any, /) -> bytes:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        raise TypeError(
            f"{type(value).__name__} is neither bytes nor str; choose a codec, as in "
            'Connection(codec="json")'
        )

    def decode(self, body: bytes, /) -> bytes:
        return body


class TextCodec:
    """Bodies as str, in an encoding that Python knows by name."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding

    def encode(self, value: Any, /) -> bytes:
        if not isinstance(value, str):
            raise TypeError(f"{type(value).__name__} is not str")
        return value.encode(self._encoding)

    def decode(self, body: bytes, /) -> str:
        return body.decode(self._encoding)


class JSONCodec:
    """Bodies as JSON in UTF-8, without the spaces."""

    def encode(self, value: Any, /) -> bytes:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

    def decode(self, body: bytes, /) -> Any:
        return json.loads(body)


def find_codec(choice: str | Codec | None) -> Codec:
    """Find the codec a user means.

    Raises InvalidArgument for the name of none, and for an object without the two methods.
    """
    if choice is None:
        return BytesCodec()
    if choice == "json":
        return JSONCodec()
    if not isinstance(choice, str):
        if not (hasattr(choice, "encode") and hasattr(choice, "decode")):
            raise InvalidArgument(f"codec: {choice!r} is none: it has no methods encode and decode")
        return choice
    try:
        # Python also lists codecs from bytes to bytes, and str.encode refuses those; ValueError
        # is for "undefined", which encodes nothing, and for what cannot be a name at all.
        "".encode(codecs.lookup(choice).name)
    except (LookupError, ValueError) as error:
        raise InvalidArgument(
            f"codec: {choice!r} is neither 'json' nor a text encoding that Python knows"
        ) from error
    return TextCodec(choice)


def encode_body(codec: Codec, value: object) -> bytes:
    """Encode what is to be put. Raises CodecError."""
    try:
        body = codec.encode(value)
    except _REFUSALS as error:
        raise CodecError(f"the body cannot be encoded: {error}") from error
    if not isinstance(body, bytes):
        raise CodecError(f"{codec!r} has made {type(body).__name__}, not bytes")
    return body


def decode_body(codec: Codec, job_id: int, body: bytes) -> Any:
    """Decode the body of a job. Raises CodecError."""
    try:
        return codec.decode(body)
    except _REFUSALS as error:
        raise CodecError(f"the body of job {job_id} cannot be decoded: {error}") from error
