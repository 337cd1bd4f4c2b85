"""The constants of the wire: what the protocol states, beanstalkd enforces, or stats tells."""

import re
from typing import Final

DEFAULT_PORT: Final = 11300

#: What ends every line, and every body.
CRLF: Final = b"\r\n"

#: The longest command line, its CRLF included.
MAX_LINE_BYTES: Final = 224

#: The longest name of a tube.
MAX_TUBE_NAME_BYTES: Final = 200

#: The bytes that the name of a tube is made of, as a class of a regular expression.
TUBE_NAME_BYTES: Final = rb"[A-Za-z0-9\-+/;.$_()]"

#: A name that a tube may have.
TUBE_NAME: Final = re.compile(rb"(?!-)%b{1,%d}" % (TUBE_NAME_BYTES, MAX_TUBE_NAME_BYTES))

MAX_U32: Final = 2**32 - 1
MAX_U64: Final = 2**64 - 1

#: A job with a smaller priority number than this one counts as urgent.
URGENT_THRESHOLD: Final = 1024

#: The largest body that a server takes unless told otherwise (``-z``).
DEFAULT_MAX_JOB_BYTES: Final = 65535

#: The largest value that ``-z`` may set.
MAX_JOB_BYTES: Final = 1 << 30

#: The size of a journal's segment unless told otherwise (``-s``); stats tells it in any case.
DEFAULT_SEGMENT_BYTES: Final = 10 * 1024 * 1024

#: The name of the tube that every client uses and watches at first.
DEFAULT_TUBE: Final = b"default"

NS_PER_S: Final = 1_000_000_000

#: A reserving client is warned this long before the first of its jobs times out.
DEADLINE_MARGIN_NS: Final = NS_PER_S
