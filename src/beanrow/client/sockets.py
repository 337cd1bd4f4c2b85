"""Opening sockets, how they are set, and which time-outs they can have."""

import socket
from typing import Final

from beanrow.client.address import Address, UnixAddress
from beanrow.errors import ConnectionFailed, InvalidArgument

#: A server that has vanished is noticed, even by a client that waits for ever, after
#: KEEPALIVE_IDLE_S + KEEPALIVE_PROBES * KEEPALIVE_INTERVAL_S = a minute.
KEEPALIVE_IDLE_S: Final = 30
KEEPALIVE_INTERVAL_S: Final = 10
KEEPALIVE_PROBES: Final = 3

#: Python hands a socket's time-out to poll(2) as 32 bits of milliseconds and cuts off the rest;
#: what is longer than the 24 days that fit is left to keepalive.
MAX_SOCKET_TIMEOUT_S: Final = 2**31 // 1000


def check_timeout(name: str, timeout_s: object) -> None:
    """Raise InvalidArgument unless this is a number of seconds above 0, or None."""
    if timeout_s is None or (isinstance(timeout_s, int | float) and timeout_s > 0):
        return
    raise InvalidArgument(f"{name}: {timeout_s!r} is neither above 0 nor None")


def bounded(timeout_s: float | None) -> float | None:
    """What a socket can count, or None, for ever, instead of more than that."""
    return None if timeout_s is None or timeout_s > MAX_SOCKET_TIMEOUT_S else timeout_s


def connect(address: Address, timeout_s: float | None) -> socket.socket:
    """Open a blocking connection. Raises ConnectionFailed."""
    timeout_s = bounded(timeout_s)
    try:
        if isinstance(address, UnixAddress):
            return _connect_unix(address, timeout_s)
        connected = socket.create_connection((address.host, address.port), timeout_s)
    except OSError as error:
        raise connection_failed(address, error, timeout_s) from error
    tune(connected)
    return connected


def connection_failed(
    address: Address, error: OSError, timeout_s: float | None
) -> ConnectionFailed:
    """Make the exception that tells why there is no connection."""
    why = f"no answer within {timeout_s} s" if isinstance(error, TimeoutError) else error
    return ConnectionFailed(f"cannot connect to {address}: {why}")


def tune(connected: socket.socket) -> None:
    """Set a TCP socket to send at once, and to notice a host that has vanished."""
    # What is to be sent together is put together before: nothing is gained by waiting for more.
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
    ):
        if hasattr(socket, name):  # not every system can set these for one socket
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _connect_unix(address: UnixAddress, timeout_s: float | None) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(timeout_s)
        connected.connect(address.path)
    except BaseException:
        connected.close()
        raise
    return connected
