"""What systemd says to a service, and what the service says back.

Socket activation (sd_listen_fds(3)): LISTEN_FDS sockets come as the descriptors from 3 on, meant
for the process LISTEN_PID. Notification (sd_notify(3)): a datagram to the socket NOTIFY_SOCKET. In
both cases the environment is cleared, so that no child takes the messages for its own.
"""

import logging
import os
import re
import socket
from collections.abc import MutableMapping
from typing import Final

from beanrow.server.errors import ListenError

log = logging.getLogger("beanrow.server")

_FIRST_FD: Final = 3


def take_sockets(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """The listening sockets that were handed over to this process; often none.

    Raises `ListenError` for anything but listening stream sockets of TCP and the file system.
    """
    pid = environ.pop("LISTEN_PID", None)
    count = environ.pop("LISTEN_FDS", None)
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or count is None:
        return []
    # Bounded, because Python refuses to convert thousands of digits.
    if not re.fullmatch(r"[0-9]{1,10}", count):
        raise ListenError(f"LISTEN_FDS={count[:100]}: not a number of sockets")
    return [_take(fd) for fd in range(_FIRST_FD, _FIRST_FD + int(count))]


def _take(fd: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise ListenError(f"descriptor {fd} from systemd is no socket: {error.strerror}") from error
    is_stream = sock.type == socket.SOCK_STREAM
    is_known = sock.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not (is_stream and is_known and listens):
        sock.detach()  # it is not ours to close
        raise ListenError(
            f"descriptor {fd} from systemd is no listening TCP or unix stream socket; "
            "use ListenStream= with Accept=no in the .socket unit"
        )
    sock.set_inheritable(False)
    return sock


class Notifier:
    """Tells the service manager how things stand; silent where there is none."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._path = environ.pop("NOTIFY_SOCKET", "")

    def ready(self) -> None:
        """The server accepts connections."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The server is about to end."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._path:
            return
        # A leading @ stands for the zero byte of an abstract socket's name.
        address = "\0" + self._path[1:] if self._path.startswith("@") else self._path
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.connect(address)
                notify.send(state.encode())
        except OSError as error:
            log.warning("cannot send %s to NOTIFY_SOCKET=%s: %s", state, self._path, error)
