"""What systemd says to a service and hears from it, with real descriptors and datagrams.

Descriptors from 3 on belong to somebody else in the process that runs the tests, so what is handed
over is taken in a child process; the child prints what it got.
"""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from beanrow.server.systemd import Notifier, take_sockets

# Puts the descriptors named in argv where systemd would, and takes them.
TAKE = """
import os, sys
from beanrow.server.errors import ListenError
from beanrow.server.systemd import take_sockets

given = [int(fd) for fd in sys.argv[2:]]
aside = [os.dup2(fd, 100 + i) for i, fd in enumerate(given)]
for i, fd in enumerate(aside):
    os.dup2(fd, 3 + i)
environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": sys.argv[1], "LISTEN_FDNAMES": "a:b"}
try:
    for sock in take_sockets(environ):
        print(sock.fileno(), sock.family.name, sock.getsockname(), sock.get_inheritable())
        sock.detach()
except ListenError as error:
    print(error)
print(environ)
"""


def take_in_child(count: str, *given: socket.socket | IO[str]) -> list[str]:
    fds = [file.fileno() for file in given]
    command = [sys.executable, "-c", TAKE, count, *map(str, fds)]
    done = subprocess.run(command, pass_fds=fds, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture
def tcp() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def unix(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "queue.sock"))
        sock.listen()
        yield sock


def test_listening_sockets_are_taken_in_order(tcp: socket.socket, unix: socket.socket) -> None:
    assert take_in_child("2", tcp, unix) == [
        f"3 AF_INET {tcp.getsockname()} False",
        f"4 AF_UNIX {unix.getsockname()} False",
        "{}",
    ]


def test_what_is_no_listening_stream_socket_is_refused(tcp: socket.socket, tmp_path: Path) -> None:
    with (
        socket.create_connection(tcp.getsockname()) as connected,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as packets,
    ):
        packets.bind(str(tmp_path / "packets"))
        packets.listen()
        for useless in (connected, datagrams, packets):
            refusal, environ = take_in_child("1", useless)
            assert "descriptor 3 from systemd is no listening TCP or unix stream" in refusal
            assert environ == "{}"


def test_a_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        assert "descriptor 3 from systemd is no socket" in take_in_child("1", file)[0]


def test_a_count_that_is_no_number_is_refused() -> None:
    assert take_in_child("many")[0] == "LISTEN_FDS=many: not a number of sockets"
    digits = "1" * 100
    assert take_in_child(digits * 50)[0] == f"LISTEN_FDS={digits}: not a number of sockets"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid())},
        {"LISTEN_PID": str(os.getppid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "queue"},
    ],
)
def test_nothing_meant_for_this_process_is_nothing(environ: dict[str, str]) -> None:
    assert take_sockets(environ) == []
    assert environ == {}


def test_notifications_to_a_path_and_to_an_abstract_name(tmp_path: Path) -> None:
    abstract = f"beanrow-test-{os.getpid()}"
    for name, address in (
        (str(tmp_path / "notify"), str(tmp_path / "notify")),
        (f"@{abstract}", f"\0{abstract}"),
    ):
        environ = {"NOTIFY_SOCKET": name, "HOME": "/"}
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(address)
            manager.settimeout(5)
            notifier = Notifier(environ)
            notifier.ready()
            assert manager.recv(100) == b"READY=1"
            notifier.stopping()
            assert manager.recv(100) == b"STOPPING=1"
        assert environ == {"HOME": "/"}


def test_a_manager_that_is_gone_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert "cannot send READY=1" in caplog.text


def test_without_a_manager_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    Notifier({}).ready()
    assert caplog.text == ""
