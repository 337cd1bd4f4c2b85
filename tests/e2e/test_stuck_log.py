"""A server whose log nobody reads: a pipe takes some 64 KiB, and then no more."""

import json
import os
import select
from typing import Any

from tests.e2e.server_process import LOCAL, TIMEOUT_S, Serving, ask, serving

#: Of two lines each, some 130 KiB in all.
CONNECTIONS = 600


def fill_the_log(server: Serving) -> None:
    for _ in range(CONNECTIONS):
        server.connect().close()
    with server.connect() as client:  # it is there for everybody still
        assert ask(client, b"list-tube-used\r\n") == b"USING default\r\n"


def read_what_is_there(server: Serving) -> list[dict[str, Any]]:
    assert server.process.stderr is not None
    fd, data = server.process.stderr.fileno(), b""
    while select.select([fd], [], [], 0)[0] and (chunk := os.read(fd, 65536)):
        data += chunk
    return [json.loads(line) for line in data.splitlines()]


def tells_of_a_connection(entry: dict[str, Any]) -> bool:
    return any(word in entry["message"] for word in ("connected", "closed"))


def test_a_log_that_nobody_reads_holds_up_nobody_and_tells_what_it_lacks() -> None:
    with serving(*LOCAL, "-V") as server:
        fill_the_log(server)
        # The server may have more to say while this is read, and so tell here what is missing.
        server.log += read_what_is_there(server)
        server.connect().close()
        counts = [entry["missing_lines"] for entry in server.log if "missing_lines" in entry]
        missing: int = sum(counts) or server.read_log_until("missing")["missing_lines"]
        assert missing > CONNECTIONS / 10
        told = sum(map(tells_of_a_connection, server.log))
        while told + missing < 2 * (CONNECTIONS + 2):
            told += tells_of_a_connection(server.read_log_until(""))
    assert sum("missing" in entry["message"] for entry in server.log) == 1


def test_a_server_whose_log_nobody_reads_can_be_stopped() -> None:
    with serving(*LOCAL, "-V") as server:
        fill_the_log(server)
        server.process.terminate()
        assert server.process.wait(TIMEOUT_S) == 0
        log = read_what_is_there(server)
    assert all(map(tells_of_a_connection, log))
    assert 0 < len(log) < 2 * CONNECTIONS
