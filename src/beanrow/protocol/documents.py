"""Reading the documents that carry stats and lists of tubes.

They are YAML, of which servers write exactly two shapes, so that no YAML library is needed:

    ---                         ---
    name: "default"             - default
    current-jobs-ready: 7       - mail

Some versions of beanstalkd put strings in double quotes and others write them bare, a host name
or a tube called `12` included. Hence values are returned as text, and whoever knows the key knows
the type.
"""

from beanrow.errors import ProtocolError


def parse_mapping(document: bytes) -> dict[str, str]:
    """Read a document of `key: value` lines, in the server's order; values lose their quotes.

    Raises ProtocolError for anything else.
    """
    mapping = {}
    for line in _lines(document):
        key, colon, value = line.partition(":")
        if not colon or not key.strip():
            raise ProtocolError(f"not a line of a stats document: {line!r}")
        mapping[key.strip()] = _unquote(value.strip())
    return mapping


def parse_list(document: bytes) -> list[str]:
    """Read a document of `- item` lines. Raises ProtocolError for anything else."""
    items = []
    for line in _lines(document):
        if not line.startswith("- "):
            raise ProtocolError(f"not a line of a list document: {line!r}")
        items.append(_unquote(line[2:].strip()))
    return items


def _lines(document: bytes) -> list[str]:
    # Host names come from the operating system, which does not promise UTF-8.
    text = document.decode("utf-8", "backslashreplace")
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines or lines[0].strip() != "---":
        raise ProtocolError(f"a document without the leading '---': {text[:60]!r}")
    return lines[1:]


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value
