"""Listening sockets: every kind of address, what stands in the way, what is left behind."""

import errno
import os
import pwd
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from beanrow.server.errors import ListenError
from beanrow.server.listeners import Listeners, address_name

LOCAL = "127.0.0.1"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((LOCAL, 0)) as other:
        yield other.getsockname()[1]


def accepts(sock: socket.socket) -> bool:
    """Whether a client that connects to a listening socket comes out there."""
    sock.settimeout(5)
    with socket.socket(sock.family, socket.SOCK_STREAM) as client:
        client.connect(sock.getsockname())
        accepted, _ = sock.accept()
        accepted.close()
    return True


def require_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error.strerror}")


def stale_socket_file(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def test_several_addresses_of_several_kinds(tmp_path: Path) -> None:
    path = tmp_path / "queue.sock"
    with Listeners.open([LOCAL, f"unix:{path}", "127.0.0.2"], 0) as listeners:
        assert all(accepts(sock) for sock in listeners.sockets)
        first, second, third = listeners.names()
        assert first.startswith("127.0.0.1:")
        assert second == f"unix:{path}"
        assert third.startswith("127.0.0.2:")
    assert all(sock.fileno() == -1 for sock in listeners.sockets)


def test_a_host_name_is_resolved() -> None:
    with Listeners.open(["localhost"], 0) as listeners:
        assert all(accepts(sock) for sock in listeners.sockets)
        assert set(listeners.names()) <= {
            address_name(sock.getsockname()) for sock in listeners.sockets
        }
        assert not listeners.listens_everywhere()


def test_an_address_given_twice_is_opened_once() -> None:
    with Listeners.open([LOCAL, "localhost", LOCAL], 0) as listeners:
        assert sum(sock.getsockname()[0] == LOCAL for sock in listeners.sockets) == 1


def test_ipv6() -> None:
    require_ipv6()
    with Listeners.open(["::1"], 0) as listeners:
        assert accepts(listeners.sockets[0])
        assert listeners.names()[0].startswith("[::1]:")


def test_ipv6_of_all_takes_ipv4_too() -> None:
    require_ipv6()
    with Listeners.open(["::"], 0) as listeners:
        (sock,) = listeners.sockets
        sock.settimeout(5)
        with socket.create_connection((LOCAL, sock.getsockname()[1]), 5):
            sock.accept()[0].close()
        assert listeners.listens_everywhere()


def test_ipv6_of_all_stands_beside_ipv4_of_all_on_one_port(taken_port: int) -> None:
    require_ipv6()
    with Listeners.open(["::", "127.0.0.2"], taken_port) as listeners:
        assert {sock.family for sock in listeners.sockets} == {socket.AF_INET, socket.AF_INET6}


def test_an_occupied_port_is_named_and_nothing_stays_open(tmp_path: Path, taken_port: int) -> None:
    path = tmp_path / "queue.sock"
    with pytest.raises(ListenError, match=f"127.0.0.1:{taken_port}: the port is in use"):
        Listeners.open([f"unix:{path}", "127.0.0.2", LOCAL], taken_port)
    assert not path.exists()
    socket.create_server(("127.0.0.2", taken_port)).close()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("300.1.1.1", "cannot listen on 300.1.1.1: "),
        ("a..b", "cannot listen on a..b: not a host name"),
        ("192.0.2.1", "cannot listen on 192.0.2.1:0: this machine has no such address"),
        ("unix:/nonexistent/queue", "unix:/nonexistent/queue: No such file or directory"),
        ("unix:/tmp/" + "long" * 50, "path too long"),
    ],
)
def test_an_unusable_address_is_one_line(address: str, words: str) -> None:
    with pytest.raises(ListenError) as refused:
        Listeners.open([address], 0)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


class TestSocketFiles:
    def test_removed_at_the_end(self, tmp_path: Path) -> None:
        path = tmp_path / "queue.sock"
        with Listeners.open([f"unix:{path}"], 0):
            assert path.is_socket()
        assert not path.exists()

    def test_stale_one_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "queue.sock"
        stale_socket_file(path)
        with Listeners.open([f"unix:{path}"], 0) as listeners:
            assert accepts(listeners.sockets[0])

    def test_one_that_answers_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "queue.sock"
        with Listeners.open([f"unix:{path}"], 0) as first:
            with pytest.raises(ListenError, match="another server answers there"):
                Listeners.open([f"unix:{path}"], 0)
            first.sockets[0].accept()[0].close()  # the question whether somebody answers
            assert accepts(first.sockets[0])

    def test_another_file_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "letter"
        path.write_text("dear reader")
        with pytest.raises(ListenError, match="a file that is no socket is there"):
            Listeners.open([f"unix:{path}"], 0)
        assert path.read_text() == "dear reader"

    def test_a_symbolic_link_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        with pytest.raises(ListenError, match="a file that is no socket is there"):
            Listeners.open([f"unix:{tmp_path / 'link'}"], 0)

    def test_the_next_servers_one_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "queue.sock"
        with Listeners.open([f"unix:{path}"], 0) as first:
            first.sockets[0].close()
            second = Listeners.open([f"unix:{path}"], 0)
        with second:
            assert accepts(second.sockets[0])

    def test_one_that_is_gone_is_no_trouble(self, tmp_path: Path) -> None:
        path = tmp_path / "queue.sock"
        with Listeners.open([f"unix:{path}"], 0):
            path.unlink()

    def test_given_to_a_user(self, tmp_path: Path) -> None:
        if os.getuid() != 0:
            pytest.skip("only root may give files away")
        path = tmp_path / "queue.sock"
        nobody = pwd.getpwnam("nobody")
        with Listeners.open([f"unix:{path}", LOCAL], 0) as listeners:
            listeners.give_to(nobody)
            assert (path.stat().st_uid, path.stat().st_gid) == (nobody.pw_uid, nobody.pw_gid)


def test_adopted_sockets_keep_their_files(tmp_path: Path) -> None:
    path = tmp_path / "queue.sock"
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    with Listeners.adopt([sock]) as listeners:
        assert listeners.names() == [f"unix:{path}"]
    assert sock.fileno() == -1
    assert path.exists()


def test_a_client_that_lingers_in_time_wait_does_not_hold_the_port() -> None:
    with Listeners.open([LOCAL], 0) as listeners:
        (sock,) = listeners.sockets
        port = sock.getsockname()[1]
        with socket.create_connection((LOCAL, port)) as client:
            accepted, _ = sock.accept()
            accepted.close()  # the side that closes first is the one that lingers
            assert client.recv(1) == b""
    Listeners.open([LOCAL], port).close()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (("127.0.0.1", 11300), "127.0.0.1:11300"),
        (("::1", 11300, 0, 0), "[::1]:11300"),
        ("/run/queue", "unix:/run/queue"),
        (b"\0queue", "unix:@queue"),
    ],
)
def test_addresses_for_people(address: object, name: str) -> None:
    assert address_name(address) == name


def test_errors_of_the_system_keep_their_cause(taken_port: int) -> None:
    with pytest.raises(ListenError) as refused:
        Listeners.open([LOCAL], taken_port)
    assert isinstance(refused.value.__cause__, OSError)
    assert refused.value.__cause__.errno == errno.EADDRINUSE
