"""Where a server is: the ways to write that down, and what they mean.

host="mail.example", port=11300      also with the port as a string
"mail.example:11300"  "[::1]:11300"  "beanstalk://mail.example:11300"  "beanstalk://mail.example"
"/run/beanrow.sock"  "unix:run/beanrow.sock"  "unix:///run/beanrow.sock"
"""

import os
import re
from dataclasses import dataclass

from beanrow.errors import InvalidArgument
from beanrow.protocol.limits import DEFAULT_PORT

_SCHEME = "beanstalk://"
_HOST_PORT = re.compile(r"(?:\[(?P<ipv6>[^\[\]/]+)\]|(?P<host>[^\[\]:/@?#\s]+))(?::(?P<port>\d+))?")
_BARE_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%\w+)?")


@dataclass(frozen=True, slots=True)
class TCPAddress:
    """A host, by name or number, and a port of it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a socket in the file system of this machine."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TCPAddress | UnixAddress


def parse_address(host: str, port: int | str = DEFAULT_PORT) -> Address:
    """Read an address; `port` counts where `host` names none.

    Raises InvalidArgument for a text that is none, and for a port outside 1 to 65535.
    """
    # The commonest mistakes are an unset variable, and bytes.
    if not isinstance(host, str):
        raise InvalidArgument(f"address: {host!r} is no text")
    if host.startswith("/"):
        return UnixAddress(_check_path(host))
    if host.startswith("unix:"):
        path = host.removeprefix("unix:")
        # unix:///a/b is a URL with an empty host; what remains is the absolute path.
        path = path.removeprefix("//") if path.startswith("///") else path
        if not path:
            raise InvalidArgument(f"address: {host!r} names no path, as in 'unix:/run/queue.sock'")
        return UnixAddress(_check_path(path))
    if _BARE_IPV6.fullmatch(host):
        return TCPAddress(_check_host(host), _parse_port(port))
    text = host.removeprefix(_SCHEME)
    match = _HOST_PORT.fullmatch(text.removesuffix("/") if host.startswith(_SCHEME) else text)
    if match is None:
        raise InvalidArgument(
            f"address: {host!r} is none of 'HOST', 'HOST:PORT', 'beanstalk://HOST:PORT', "
            "'/PATH' and 'unix:PATH'"
        )
    host = _check_host(match["host"] or match["ipv6"])
    return TCPAddress(host, _parse_port(match["port"] or port))


def _check_host(host: str) -> str:
    # The resolver is asked for the name as IDNA has it, and reads it up to a zero byte.
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise InvalidArgument(f"address: {host!r} cannot be the name of a host: {error}") from error
    if "\0" in host:
        raise InvalidArgument(f"address: {host!r} cannot be the name of a host: it has a zero byte")
    return host


def _check_path(path: str) -> str:
    try:
        encoded = os.fsencode(path)
    except UnicodeError as error:
        raise InvalidArgument(f"address: {path!r} cannot be a path: {error}") from error
    if b"\0" in encoded:
        raise InvalidArgument(f"address: {path!r} cannot be a path: it has a zero byte")
    return path


def _parse_port(port: int | str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", str(port)) or not 1 <= int(port) <= 65535:
        raise InvalidArgument(f"port: {port!r} is not a whole number from 1 to 65535")
    return int(port)
