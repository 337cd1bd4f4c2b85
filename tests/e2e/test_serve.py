"""The server as a process: its options, its sockets, its signals, its user, systemd."""

import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import beanrow
from beanrow.build import BUILD
from tests.e2e.server_process import (
    BEANROWD,
    LOCAL,
    SERVE,
    TIMEOUT_S,
    ask,
    environment,
    refused,
    serving,
    stats,
)
from tests.peers import BEANSTALKD, require_peer

both_commands = pytest.mark.parametrize("command", [SERVE, BEANROWD], ids=["serve", "beanrowd"])
PUT = b"put 0 0 60 1\r\nx\r\n"


class TestOptions:
    @both_commands
    def test_the_short_ones_are_common_to_both(self, command: Sequence[str]) -> None:
        options = ("-z", "10", "-f", "0", "-F", "-s", "4096", "-c", "-n", "-V")
        with serving(*LOCAL, *options, command=command) as server, server.connect() as client:
            server.read_log_until("connected")
            assert ask(client, b"put 0 0 1 11\r\nhello world\r\n") == b"JOB_TOO_BIG\r\n"
            assert ask(client, b"put 0 0 1 10\r\nhello-----\r\n").startswith(b"INSERTED ")
        for flag in ("-f", "-F", "-s"):
            assert f"{flag} has no effect without -b" in server.messages()
        for flag in ("-c", "-n"):
            assert f"{flag} is ignored" in server.messages()

    def test_serve_has_long_names_beside_them(self) -> None:
        options = ("--listen=127.0.0.1", "--port=0", "--max-job-size=10", "--verbose")
        with serving(*options, command=SERVE) as server, server.connect() as client:
            server.read_log_until("connected")
            assert "max-job-size: 10\n" in stats(client)

    def test_beanrowd_reads_them_as_getopt_does(self) -> None:
        with serving("-l127.0.0.1", "-p0", "-z10", "-f0", "-VVF") as server:
            with server.connect() as client:
                server.read_log_until("connected")
                assert "max-job-size: 10\n" in stats(client)
            server.read_log_until("closed")

    def test_connections_are_not_told_of_without_v(self) -> None:
        with serving(*LOCAL) as server:
            server.connect().close()
        assert "connected" not in server.messages()

    def test_a_job_size_beyond_the_largest_becomes_that(self) -> None:
        with serving(*LOCAL, "-z", "9999999999") as server, server.connect() as client:
            assert "maximum job size was set to 1073741824" in server.messages()
            assert "max-job-size: 1073741824\n" in stats(client)

    def test_beanrowd_listens_everywhere_unless_told_and_says_so(self) -> None:
        with serving("-p", "0") as server:
            assert server.addresses[0].startswith("0.0.0.0:")
            assert server.read_log_until("no authentication")["level"] == "warning"

    def test_serve_listens_on_this_machine_unless_told(self) -> None:
        with serving("-p", "0", command=SERVE) as server:
            assert server.addresses[0].startswith("127.0.0.1:")
        assert "no authentication" not in server.messages()

    @both_commands
    def test_the_version(self, command: Sequence[str]) -> None:
        done = subprocess.run([*command, "-v"], capture_output=True, text=True, check=True)
        assert done.stdout == f"beanrow {beanrow.__version__} ({BUILD})\n"

    @both_commands
    def test_the_help_names_every_option(self, command: Sequence[str]) -> None:
        done = subprocess.run([*command, "-h"], capture_output=True, text=True, check=True)
        flags = [f"-{letter}" for letter in "bfFlpsuzVvh"]
        for word in (*flags, "--log-format", "SIGTERM", "SIGUSR1", "SIGUSR2"):
            assert word in done.stdout

    def test_every_line_of_a_json_log_is_an_object(self) -> None:
        with serving(*LOCAL, "-V", "-c") as server:
            server.connect().close()
            server.read_log_until("closed")
        for entry in server.log:
            assert entry.keys() >= {"time", "level", "logger", "message"}
        assert {entry["level"] for entry in server.log} == {"debug", "info", "warning"}

    def test_the_log_is_for_people_unless_json_is_asked_for(self) -> None:
        with subprocess.Popen([*BEANROWD, *LOCAL], stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            line = process.stderr.readline()
            while " serves on " not in line:
                assert line, "it ended"
                line = process.stderr.readline()
            process.terminate()
            # To the end, as the server has more to say and the pipe must not break.
            process.communicate(timeout=TIMEOUT_S)
        time, level, message = line.split(maxsplit=2)
        assert time.endswith("Z")
        assert level == "info"
        assert message.startswith(f"beanrow {beanrow.__version__} serves on 127.0.0.1:")
        assert process.returncode == 0


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "words", "beanrowd_status"),
        [
            (["-p", "x"], "-p 'x'", 111),
            (["-p", "65536"], "-p 65536", 111),
            (["-z", "x"], "-z 'x'", 5),
            (["-z", "-1"], "-z '-1'", 5),
            (["-f", "x"], "-f 'x'", 5),
            (["-s", "1x"], "-s '1x'", 5),
            (["--log-format", "xml"], "--log-format 'xml'", 5),
            (["-b", ""], "-b ''", 5),
            (["-b", "/proc/queue", *LOCAL], "-b /proc/queue: No such file", 10),
            (["-b", "/etc/passwd", *LOCAL], "-b /etc/passwd: Not a directory", 10),
            (["-u", "no-such-user"], "-u no-such-user: there is no such user", 33),
            (["-l", "unix:/nonexistent/queue"], "unix:/nonexistent/queue: No such file", 111),
            (["-l", "unix:/etc/passwd"], "unix:/etc/passwd: a file that is no socket", 111),
            (["-l", "300.1.1.1"], "cannot listen on 300.1.1.1", 111),
            (["-l", "192.0.2.1"], "192.0.2.1:11300: this machine has no such address", 111),
        ],
    )
    def test_what_cannot_be_used_is_one_line(
        self, options: list[str], words: str, beanrowd_status: int
    ) -> None:
        status, line = refused(*options, command=BEANROWD)
        assert line.startswith("beanrowd: ")
        assert words in line
        assert status == beanrowd_status
        status, line = refused(*options, command=SERVE)
        assert line.startswith("beanrow serve: ")
        assert words in line
        assert status == (2 if beanrowd_status == 5 else 1)

    @pytest.mark.parametrize(
        ("options", "words"),
        [(["-q"], "-q"), (["--foo"], "--foo"), (["-p"], "-p"), (["foo"], "foo"), (["-Vq"], "-q")],
    )
    def test_beanrowd_refuses_what_it_does_not_know(self, options: list[str], words: str) -> None:
        status, line = refused(*options)
        assert status == 5
        assert words in line
        assert "beanrowd -h" in line

    @pytest.mark.parametrize("options", [["-q"], ["--foo"], ["--por", "1"], ["-p"], ["foo"]])
    def test_serve_refuses_what_it_does_not_know(self, options: list[str]) -> None:
        done = subprocess.run([*SERVE, *options], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert options[0] in done.stderr
        assert done.stderr.startswith("beanrow serve: ")
        assert done.stderr.endswith("; see beanrow serve --help\n")
        assert done.stderr.count("\n") == 1

    @both_commands
    def test_an_occupied_port(self, command: Sequence[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            _, line = refused("-l", "127.0.0.1", "-p", port, command=command)
        assert f"cannot listen on 127.0.0.1:{port}: the port is in use" in line

    @pytest.mark.parametrize(
        "options",
        [
            ["-q"],
            ["--foo"],
            ["-p"],
            ["foo"],
            ["-"],
            ["-z", "x"],
            ["-z", "12x"],
            ["-f", "x"],
            ["-s", ""],
            ["-p", "x"],
            ["-u", "no-such-user", *LOCAL],
            ["-b", "/proc/queue", *LOCAL],
            ["-b", "/etc/passwd", *LOCAL],
            ["-l", "300.1.1.1"],
            ["-l", "192.0.2.1"],
            ["-l", "unix:/nonexistent/queue"],
            ["-l", "unix:/etc/passwd"],
        ],
        ids=" ".join,
    )
    def test_beanrowd_ends_with_the_status_of_beanstalkd(self, options: list[str]) -> None:
        require_peer("beanstalkd")
        theirs = subprocess.run(
            [BEANSTALKD, *options], capture_output=True, timeout=TIMEOUT_S, check=False
        )
        assert refused(*options)[0] == theirs.returncode

    def test_a_user_that_it_may_not_become(self) -> None:
        command = (*without("setuid", "setgid"), *BEANROWD)
        status, line = refused(*LOCAL, "-u", "daemon", command=command)
        assert status == 34
        assert "-u daemon: cannot become this user" in line

    def test_a_port_that_is_the_administrators(self) -> None:
        limit = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        if int(limit.read_text()) < 2:
            pytest.skip(f"every port is for everybody here: {limit}")
        command = (*without("net_bind_service"), *BEANROWD)
        status, line = refused("-l", "127.0.0.1", "-p", "1", command=command)
        assert status == 111
        assert "cannot listen on 127.0.0.1:1: not permitted; ports below 1024" in line


class TestAddresses:
    def test_repeated(self, tmp_path: Path) -> None:
        path = tmp_path / "queue.sock"
        with serving("-p", "0", "-l", "127.0.0.1", "-l", f"unix:{path}", "-l", "127.0.0.2") as all3:
            assert len(all3.addresses) == 3
            for number in range(3):
                with all3.connect(number) as client:
                    assert ask(client, PUT) == b"INSERTED %d\r\n" % (number + 1)
        assert not path.exists()

    def test_a_second_server_on_a_socket_file_is_refused(self, tmp_path: Path) -> None:
        address = f"unix:{tmp_path / 'queue.sock'}"
        with serving("-l", address) as first:
            status, line = refused("-l", address)
            assert status == 111
            assert "another server answers there" in line
            with first.connect() as client:
                assert ask(client, PUT) == b"INSERTED 1\r\n"

    def test_the_socket_file_of_a_killed_server_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "queue.sock"
        with serving("-l", f"unix:{path}") as first:
            assert first.stop(signal.SIGKILL) == -signal.SIGKILL
        assert path.is_socket()
        with serving("-l", f"unix:{path}") as second, second.connect() as client:
            assert ask(client, PUT) == b"INSERTED 1\r\n"

    def test_ipv6(self) -> None:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError as error:
            pytest.skip(f"this machine has no IPv6: {error.strerror}")
        with serving("-p", "0", "-l", "::1") as server, server.connect() as client:
            assert server.addresses[0].startswith("[::1]:")
            assert ask(client, PUT) == b"INSERTED 1\r\n"


class TestSignals:
    @both_commands
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
    def test_a_stop_is_clean(self, command: Sequence[str], number: signal.Signals) -> None:
        with serving(*LOCAL, command=command) as server, server.connect() as client:
            assert ask(client, PUT) == b"INSERTED 1\r\n"
            assert server.stop(number) == 0
            assert client.recv(1) == b""
            assert server.messages().endswith(f"{number.name}: stopping\nstopped")
            with pytest.raises(ConnectionRefusedError):
                server.connect()

    def test_replies_that_are_under_way_arrive_before_the_end(self) -> None:
        with serving(*LOCAL, "-z", str(BIG)) as server, server.connect() as client:
            leave_a_big_reply_unread(client)
            server.process.send_signal(signal.SIGTERM)
            server.read_log_until("stopping")
            with client.makefile("rb") as replies:
                assert replies.readline() == b"FOUND 1 %d\r\n" % BIG
                assert len(replies.read()) == BIG + 2
            assert server.wait() == 0

    def test_a_client_that_does_not_read_cannot_hold_the_server(self) -> None:
        with serving(*LOCAL, "-z", str(BIG)) as server, server.connect() as client:
            leave_a_big_reply_unread(client)
            assert server.stop() == 0
            assert "did not take" in server.messages()

    def test_a_sigint_during_the_stop_ends_at_once(self, tmp_path: Path) -> None:
        path = tmp_path / "queue.sock"
        with serving("-l", f"unix:{path}", "-z", str(BIG)) as server, server.connect() as client:
            leave_a_big_reply_unread(client)
            server.process.send_signal(signal.SIGTERM)
            server.read_log_until("stopping")
            assert server.stop(signal.SIGINT) == 130
            assert not path.exists()

    def test_a_stop_is_clean_though_nobody_reads_the_log_any_more(self) -> None:
        buffered = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
        with serving(*LOCAL, env=buffered) as server:
            assert server.process.stderr is not None
            server.process.stderr.close()
            server.process.stderr = None  # nothing to read at the end
            server.process.terminate()
            assert server.process.wait(TIMEOUT_S) == 0

    def test_a_stop_is_clean_with_standard_error_closed(self, tmp_path: Path) -> None:
        path = tmp_path / "queue.sock"
        command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *BEANROWD, "-l", f"unix:{path}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            while not path.is_socket():
                assert process.poll() is None
                time.sleep(0.01)
            process.terminate()
            assert process.communicate(timeout=TIMEOUT_S)[0] == b""
        assert process.returncode == 0

    def test_draining_and_its_end(self) -> None:
        with serving(*LOCAL) as server, server.connect() as client:
            server.process.send_signal(signal.SIGUSR1)
            server.read_log_until("SIGUSR1: draining")
            assert ask(client, PUT) == b"DRAINING\r\n"
            assert "draining: true\n" in stats(client)
            server.process.send_signal(signal.SIGUSR2)
            server.read_log_until("SIGUSR2: draining ended")
            assert ask(client, PUT).startswith(b"INSERTED ")
            assert "draining: false\n" in stats(client)

    def test_a_broken_pipe_is_nothing(self) -> None:
        with serving(*LOCAL) as server, server.connect() as client:
            server.process.send_signal(signal.SIGPIPE)
            assert ask(client, PUT) == b"INSERTED 1\r\n"

    def test_process_1_of_a_container_stops_as_well(self) -> None:
        with serving(*LOCAL, command=(*new_pid_namespace(), *BEANROWD)) as server:
            assert server.pid == 1
            children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
            os.kill(int(children.read_text()), signal.SIGTERM)
            assert server.wait() == 0
            assert "SIGTERM: stopping" in server.messages()


class TestMake:
    def test_ctrl_c_at_make_run_is_a_clean_stop(self, tmp_path: Path) -> None:
        if shutil.which("make") is None:
            pytest.skip("make is not installed")
        command = ("make", "-s", "run", f"PYTHON={sys.executable}", f"ARGS=-p 0 -b {tmp_path}")
        folder = Path(__file__).parents[2]
        with subprocess.Popen(
            command, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            assert process.stderr is not None
            while " serves on " not in process.stderr.readline():
                assert process.poll() is None
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            rest = process.communicate(timeout=TIMEOUT_S)[1]
        assert rest.endswith(" stopped\n")


class TestProcess:
    def test_the_limit_of_open_files_is_raised(self) -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limited = ("prlimit", f"--nofile=64:{hard}", *BEANROWD)
        with serving(*LOCAL, command=limited) as server:
            assert resource.prlimit(server.pid, resource.RLIMIT_NOFILE) == (hard, hard)
        assert f"limit of open files raised from 64 to {hard}" in server.messages()
        assert server.started["max_open_files"] == hard

    def test_becoming_a_user(self) -> None:
        if os.getuid() != 0:
            pytest.skip("only root can become somebody else")
        nobody = pwd.getpwnam("nobody")
        with tempfile.TemporaryDirectory() as folder:  # not in pytest's, which is root's alone
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            path = Path(folder) / "queue.sock"
            with serving("-l", f"unix:{path}", "-u", "nobody") as server:
                status = dict(
                    line.split(":", 1)
                    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines()
                )
                assert set(status["Uid"].split()) == {str(nobody.pw_uid)}
                assert set(status["Gid"].split()) == {str(nobody.pw_gid)}
                assert set(map(int, status["Groups"].split())) == set(
                    os.getgrouplist("nobody", nobody.pw_gid)
                )
                assert path.stat().st_uid == nobody.pw_uid
            assert not path.exists()

    def test_becoming_the_user_one_is_already(self) -> None:
        with serving(*LOCAL, "-u", pwd.getpwuid(os.getuid()).pw_name) as server:
            server.connect().close()


class TestSystemd:
    # Does what systemd does between fork and exec.
    LAUNCHER = """
import os, sys
fds = [int(fd) for fd in sys.argv[1].split(",")]
for index, fd in enumerate([os.dup2(fd, 100 + index) for index, fd in enumerate(fds)]):
    os.dup2(fd, 3 + index)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(fds))}
os.execv(sys.argv[2], sys.argv[2:])
"""

    @pytest.fixture
    def listeners(self, tmp_path: Path) -> Iterator[list[socket.socket]]:
        with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
            unix.bind(str(tmp_path / "activated.sock"))
            unix.listen()
            yield [tcp, unix]

    def launched(self, sockets: Sequence[socket.socket]) -> tuple[Sequence[str], list[int]]:
        fds = [sock.fileno() for sock in sockets]
        launcher = (sys.executable, "-c", self.LAUNCHER, ",".join(map(str, fds)))
        return (*launcher, *BEANROWD), fds

    def test_serving_on_sockets_that_were_handed_over(
        self, listeners: list[socket.socket], tmp_path: Path
    ) -> None:
        command, fds = self.launched(listeners)
        with serving("-p", "1", command=command, pass_fds=fds) as server:
            assert "sockets from systemd; -l and -p have no effect" in server.messages()
            for number in range(2):
                with server.connect(number) as client:
                    assert ask(client, PUT) == b"INSERTED %d\r\n" % (number + 1)
        assert (tmp_path / "activated.sock").is_socket(), "systemd's file is systemd's to remove"

    def test_a_socket_that_does_not_listen_is_refused(self, listeners: list[socket.socket]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            command, fds = self.launched([listeners[0], datagrams])
            status, line = refused(command=command, pass_fds=fds)
        assert status == 111
        assert "descriptor 4 from systemd is no listening TCP or unix stream socket" in line

    def test_a_defect_that_ends_it_is_the_last_entry_of_the_log(
        self, listeners: list[socket.socket]
    ) -> None:
        command, fds = self.launched(listeners)
        with serving(command=command, pass_fds=fds) as server:
            listeners[0].shutdown(socket.SHUT_RDWR)  # what no server expects of a listener
            assert server.wait() == 1
        last = server.log[-1]
        assert last["level"] == "critical"
        assert last["message"].startswith("ended by a defect: OSError(")
        assert last["exception"].startswith("Traceback")

    @pytest.mark.parametrize("kind", ["path", "abstract"])
    def test_readiness_and_the_stop_are_notified(self, tmp_path: Path, kind: str) -> None:
        name = str(tmp_path / "notify") if kind == "path" else f"@beanrow-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(name.replace("@", "\0"))
            manager.settimeout(TIMEOUT_S)
            with serving(*LOCAL, env=environment(NOTIFY_SOCKET=name)) as server:
                assert manager.recv(100) == b"READY=1"
                server.connect().close()
                server.process.terminate()
                assert manager.recv(100) == b"STOPPING=1"
                assert server.wait() == 0


#: More than the kernel buffers for a client that does not read.
BIG = 20_000_000


def leave_a_big_reply_unread(client: socket.socket) -> None:
    client.sendall(b"put 0 0 60 %d\r\n" % BIG)
    assert ask(client, bytes(BIG) + b"\r\n") == b"INSERTED 1\r\n"
    client.sendall(b"peek 1\r\n")
    client.recv(1, socket.MSG_PEEK)  # it has begun to send


def without(*capabilities: str) -> tuple[str, ...]:
    """The command that takes from another one what root may do; nothing for other users."""
    if os.getuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv, to take from root what it may do, is not installed")
    return ("setpriv", "--bounding-set", ",".join(f"-{name}" for name in capabilities))


def new_pid_namespace() -> tuple[str, ...]:
    """The command that makes another one process 1; skips the test where nothing can."""
    alone = ("unshare", "--pid", "--fork")
    with_a_user = ("unshare", "--user", "--map-root-user", "--pid", "--fork")
    for command in (alone, with_a_user):
        try:
            if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
                return command
        except FileNotFoundError:
            pytest.skip("unshare is not installed")
    pytest.skip("no new process namespace can be made here")
