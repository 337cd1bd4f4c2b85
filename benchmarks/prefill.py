"""Bring a server into the state a case begins with: many tubes, each with a delayed job."""

from benchmarks.cases import PAUSED_TUBES
from benchmarks.errors import BenchmarkError
from benchmarks.servers import Server

TUBES_PER_BATCH = 200
DELAY_S = 24 * 60 * 60


def prefill(server: Server, tubes: int) -> None:
    """Put one job with a long delay into each of `tubes` tubes, and pause a few of them.

    Raises BenchmarkError for any reply but the right one.
    """
    if tubes == 0:
        return
    with server.connect() as connection, connection.makefile("rb") as replies:

        def exchange(commands: list[bytes], expected: list[bytes]) -> None:
            connection.sendall(b"".join(commands))
            for prefix in expected:
                reply = replies.readline()
                if not reply.startswith(prefix):
                    raise BenchmarkError(f"while filling tubes: expected {prefix!r}, got {reply!r}")

        names = [b"tube-%05d" % number for number in range(tubes)]
        for start in range(0, tubes, TUBES_PER_BATCH):
            batch = names[start : start + TUBES_PER_BATCH]
            exchange(
                [b"use %b\r\nput 0 %d 60 5\r\nlater\r\n" % (name, DELAY_S) for name in batch],
                [prefix for name in batch for prefix in (b"USING %b\r\n" % name, b"INSERTED ")],
            )
        paused = names[:PAUSED_TUBES]
        exchange(
            [b"pause-tube %b %d\r\n" % (name, DELAY_S) for name in paused],
            [b"PAUSED\r\n"] * len(paused),
        )
