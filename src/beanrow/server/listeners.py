"""The sockets that clients connect to: opened from addresses, taken back at the end.

An address is a host name, an IPv4 or IPv6 address, or unix:PATH. A name stands for every address
it resolves to. A socket file in the way is replaced only if no server answers there; at the end it
is removed, unless it has become another server's by then.
"""

import errno
import logging
import os
import pwd
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from beanrow.server.errors import BecomeUserError, ListenError

log = logging.getLogger("beanrow.server")

#: How many connections the kernel may have accepted before the server takes them; it is free to
#: allow fewer.
BACKLOG: Final = 4096

_UNIX: Final = "unix:"
_IPV4_OF_ALL: Final = "0.0.0.0"
_IPV6_OF_ALL: Final = "::"

#: A name may well resolve to ::1 on a machine without IPv6.
_NOT_OF_THIS_MACHINE: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

#: What `getaddrinfo` gives for `bind`; the last form only where Python was built without IPv6.
_SockAddr = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
_Resolved = tuple[socket.AddressFamily, _SockAddr]


class Listeners:
    """Open listening sockets; leaving the context closes them and removes their files."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self._files: list[Path] = []

    @classmethod
    def open(cls, addresses: Sequence[str], port: int) -> Self:
        """Listen on all of the addresses, or on none: raises `ListenError` for the first failure.

        Port 0 lets the system choose one, for each address anew.
        """
        listeners = cls()
        try:
            hosts: dict[str, list[_Resolved]] = {}
            seen: set[_Resolved] = set()
            for address in addresses:
                if not address.startswith(_UNIX) and address not in hosts:
                    hosts[address] = [f for f in _resolve(address, port) if f not in seen]
                    seen.update(hosts[address])
            # As with beanstalkd, :: takes IPv4 too; but not away from an address of its own.
            ipv6_only = any(family == socket.AF_INET for family, _ in seen)
            for address in dict.fromkeys(addresses):
                if address in hosts:
                    listeners._open_host(address, hosts[address], ipv6_only)
                else:
                    listeners._open_file(Path(address.removeprefix(_UNIX)))
        except BaseException:
            listeners.close()
            raise
        return listeners

    @classmethod
    def adopt(cls, sockets: Sequence[socket.socket]) -> Self:
        """Take over sockets that somebody else has opened; their files stay."""
        listeners = cls()
        listeners.sockets.extend(sockets)
        return listeners

    def give_to(self, user: pwd.struct_passwd) -> None:
        """Make a user the owner of the socket files, so that it can connect there.

        Raises `BecomeUserError` if this process may not.
        """
        for file in self._files:
            try:
                os.chown(file, user.pw_uid, user.pw_gid, follow_symlinks=False)
            except OSError as error:
                raise BecomeUserError(
                    f"-u {user.pw_name}: cannot make {file} this user's ({_reason(error)}); "
                    "start as root, or leave -u out"
                ) from error

    def names(self) -> list[str]:
        """Where clients find the server, for people: 127.0.0.1:11300, [::1]:11300, unix:PATH."""
        return [address_name(sock.getsockname()) for sock in self.sockets]

    def listens_everywhere(self) -> bool:
        """Whether other machines can connect through every interface of this one."""
        return any(
            sock.family != socket.AF_UNIX and sock.getsockname()[0] in (_IPV4_OF_ALL, _IPV6_OF_ALL)
            for sock in self.sockets
        )

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        for file in self._files:
            try:
                _make_room(file)
            except ListenError:
                pass  # it has become somebody else's
            except OSError as error:
                # Harmless: the next server that listens there replaces the file.
                log.warning("cannot remove the socket file %s: %s", file, _reason(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_host(self, host: str, found: Sequence[_Resolved], ipv6_only: bool) -> None:
        missing: list[OSError] = []
        for family, address in found:
            try:
                self._listen(family, address, ipv6_only)
            except OSError as error:
                name = address_name(address)
                if error.errno not in _NOT_OF_THIS_MACHINE:
                    raise ListenError(f"cannot listen on {name}: {_advice(error)}") from error
                missing.append(error)
                if len(missing) == len(found):
                    raise ListenError(f"cannot listen on {name}: {_advice(error)}") from error
                log.info("%s: not listening on %s, which this machine does not have", host, name)

    def _listen(self, family: socket.AddressFamily, address: _SockAddr, ipv6_only: bool) -> None:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            # The connections of a server before this one may linger in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, ipv6_only)
            sock.bind(address)
            sock.listen(BACKLOG)
        except OSError:
            sock.close()
            raise
        self.sockets.append(sock)

    def _open_file(self, path: Path) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _make_room(path)
            sock.bind(str(path))
            self._files.append(path)
            sock.listen(BACKLOG)
        except OSError as error:
            sock.close()
            raise ListenError(f"cannot listen on {_UNIX}{path}: {_reason(error)}") from error
        except ListenError:
            sock.close()
            raise
        self.sockets.append(sock)


def address_name(address: object) -> str:
    """What `getsockname` and `accept` return, for people."""
    match address:
        case [str(host), int(port), *rest]:
            return f"[{host}]:{port}" if rest else f"{host}:{port}"
        case bytes(abstract):
            return f"{_UNIX}@{os.fsdecode(abstract.removeprefix(bytes(1)))}"
        case _:
            return f"{_UNIX}{address}"


def _resolve(host: str, port: int) -> list[_Resolved]:
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "not a host name"
        raise ListenError(
            f"cannot listen on {host}: {reason}; give an address of this machine with -l"
        ) from error
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _make_room(path: Path) -> None:
    """Remove the socket file of a server that is gone; raises `ListenError` for anything else."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(
            f"cannot listen on {_UNIX}{path}: a file that is no socket is there; "
            "remove it or choose another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except TimeoutError:
            pass  # somebody listens, but is too busy to answer
    raise ListenError(
        f"cannot listen on {_UNIX}{path}: another server answers there; "
        "stop it or choose another path"
    )


def _advice(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "the port is in use by another program; stop it or choose another port with -p"
        case errno.EACCES:
            return "not permitted; ports below 1024 are the administrator's, choose another with -p"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address; -l 0.0.0.0 listens on all that it has"
        case errno.EAFNOSUPPORT:
            return "this machine does not support such addresses"
        case _:
            return _reason(error)


def _reason(error: OSError) -> str:
    # Some errors, such as a path that is too long, come without a number.
    return error.strerror or str(error)
