"""Plays the steps of a script on one server, and knows when the server is done with each.

Two servers can only be compared step by step if the replies to one step are complete before the
next begins. Nothing is gained by waiting some milliseconds: either that is too short on a loaded
machine or too long on an idle one. Instead:

* Everything sent is followed by a *probe*: `peek` of a job that nothing else touches. Its reply
  tells that the server has executed all that was sent before it on that connection.
* A waiting `reserve` holds up the probe behind it. So a further connection, the *monitor*, asks
  how many connections are waiting (`stats`). When that is the number of connections with an
  unanswered probe, and no probe was answered meanwhile, then all of these are waiting, and all
  others are done: the server has *settled*. The number of connections that `stats` reports must
  be right as well, which tells that closed ones have been noticed.

Only replies before the latest answered probe count as received.
"""

import re
import select
import signal
import socket
import struct
import time
from collections.abc import Mapping

from tests.differential.replies import END, Reply, as_1_12, as_1_13, cut_reply
from tests.differential.script import Act, Step
from tests.peers import RunningServer

#: A server that has not settled after this time never will.
PATIENCE_S = 5.0

_MAX_U32 = 2**32 - 1
_QUIT = rb"(?:\A|\r\n)quit[^\0\r]{0,218}\r\n"
_CLOSES = re.compile(_QUIT + rb"\Z")
_CLOSES_BEFORE_ITS_END = re.compile(_QUIT)


class NotSettledError(AssertionError):
    """The server owes an answer, or has lost count of its connections."""


class Player:
    """Named connections to one server, and a monitor beside them."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.base_id = 0
        self._speaks_1_12 = server.name == "beanstalkd"
        self._wires: dict[str, Wire] = {}
        self._monitor = Wire(server)
        self._probe = self._make_probe()

    def _make_probe(self) -> tuple[bytes, Reply]:
        """Put a job aside, delayed for ever; return how to peek at it, and the reply to that."""
        self._ask(b"use probe\r\n")
        inserted = self._ask(b"put 0 %d 1 0\r\n\r\n" % _MAX_U32)
        self.base_id = int(inserted.line.split()[1])
        self._ask(b"use default\r\n")
        return b"peek %d\r\n" % self.base_id, Reply(b"FOUND %d 0" % self.base_id, b"")

    def play(self, step: Step) -> None:
        """Do what a step says on a connection, and wait until the server has settled."""
        wire = self._wires.get(step.connection)
        if wire is None:
            wire = self._wires[step.connection] = Wire(self.server)
        match step.act:
            case Act.SEND | Act.SEND_PART | Act.SEND_BYTEWISE:
                self._send(wire, step)
            case Act.HALF_CLOSE:
                wire.half_close()
            case Act.CLOSE:
                wire.close()
            case Act.RESET:
                wire.reset()
            case _:
                raise ValueError(f"not a step of one connection: {step}")
        self.settle()

    def _send(self, wire: "Wire", step: Step) -> None:
        request = step.request(self.base_id)
        if self._speaks_1_12:
            request = as_1_12(request)
        if step.act is Act.SEND_BYTEWISE:
            for position in range(len(request)):
                wire.send(request[position : position + 1])
        else:
            wire.send(request)
        if step.act is Act.SEND_PART:
            if _CLOSES_BEFORE_ITS_END.search(request):
                wire.expect_end()
            return
        if _CLOSES.search(request):
            wire.expect_end()
        else:
            wire.send_probe(*self._probe)

    def drain(self) -> None:
        """Send the server into drain mode, and wait until it is there."""
        self.server.process.send_signal(signal.SIGUSR1)
        give_up_at_s = time.monotonic() + PATIENCE_S
        while b"draining: true" not in (self._ask(b"stats\r\n").body or b""):
            if time.monotonic() > give_up_at_s:
                raise NotSettledError(f"{self.server.name} does not drain")

    def restart(self) -> None:
        """End the server and start it again; all connections end with it."""
        for wire in (*self._wires.values(), self._monitor):
            wire.close()
        self._wires.clear()
        self.server.restart()
        self._monitor = Wire(self.server)

    def is_waiting(self, connection: str) -> bool:
        """Whether a settled server lets this connection wait for a job."""
        wire = self._wires.get(connection)
        return wire is not None and wire.unanswered > 0

    def waiting(self) -> list[str]:
        """The connections that a settled server lets wait for a job."""
        return [name for name in self._wires if self.is_waiting(name)]

    def settle(self) -> None:
        """Return when the server has executed everything; NotSettledError if it does not."""
        give_up_at_s = time.monotonic() + PATIENCE_S
        while not self._has_settled():
            if time.monotonic() > give_up_at_s:
                raise NotSettledError(f"{self.server.name} does not settle: {self._state()}")
            unanswered = [wire.socket for wire in self._open() if wire.unanswered]
            select.select(unanswered, [], [], 0.001)

    def _has_settled(self) -> bool:
        before = self._receive_all()
        stats = (self._ask(b"stats\r\n").body or b"").decode()
        waiting, connections = (
            int(stats.split(f"\n{key}: ")[1].split("\n")[0])
            for key in ("current-waiting", "current-connections")
        )
        after = self._receive_all()
        return (
            before == after
            and sum(1 for count in after.values() if count) == waiting
            and len(after) + 1 == connections
        )

    def _receive_all(self) -> Mapping[str, int]:
        """Read what is there; tell how many answers each open connection is owed."""
        for wire in self._wires.values():
            wire.receive()
        return {name: wire.unanswered for name, wire in self._wires.items() if not wire.ended}

    def _open(self) -> list["Wire"]:
        return [wire for wire in self._wires.values() if not wire.ended]

    def _state(self) -> str:
        return ", ".join(
            f"{name} is owed {wire.unanswered} after {wire.latest()}"
            for name, wire in self._wires.items()
        )

    def take_replies(self) -> dict[str, list[Reply]]:
        """Take what the connections have received, in the dialect of 1.13."""
        taken = {name: wire.take() for name, wire in self._wires.items()}
        for name in [name for name, wire in self._wires.items() if wire.ended]:
            self._wires.pop(name)
        if not self._speaks_1_12:
            return taken
        return {name: [as_1_13(reply) for reply in replies] for name, replies in taken.items()}

    def ask(self, request: bytes) -> Reply:
        """Let the monitor ask something; the reply is in the dialect of 1.13."""
        reply = self._ask(request)
        return as_1_13(reply) if self._speaks_1_12 else reply

    def _ask(self, request: bytes) -> Reply:
        self._monitor.send(request)
        return self._monitor.next_reply()

    def clear(self) -> None:
        """Close every connection and delete every job, so that the next script starts afresh."""
        for wire in self._wires.values():
            wire.close()
        self._wires.clear()
        self.settle()
        self._ask(b"pause-tube default 0\r\n")
        last_id = int(self._ask(b"put 0 0 1 0\r\n\r\n").line.split()[1])
        for job_id in range(self.base_id + 1, last_id + 1):
            self._ask(b"delete %d\r\n" % job_id)
        self.base_id = last_id

    def close(self) -> None:
        for wire in (*self._wires.values(), self._monitor):
            wire.close()


class Wire:
    """One connection: what was sent, what has come back, what is still owed."""

    def __init__(self, server: RunningServer) -> None:
        self.socket = server.connect(PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = bytearray()
        self.ended = False
        self._replies: list[Reply] = []
        self._final = 0  # so many of the replies are certainly complete
        self._probes_unanswered = 0
        self._probe_answer: Reply | None = None
        self._expects_end = False

    @property
    def unanswered(self) -> int:
        return self._probes_unanswered + self._expects_end

    def send(self, request: bytes) -> None:
        self.socket.sendall(request)

    def send_probe(self, probe: bytes, answer: Reply) -> None:
        self._probes_unanswered += 1
        self._probe_answer = answer
        self.send(probe)

    def expect_end(self) -> None:
        self._expects_end = True

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)
        self._expects_end = True

    def reset(self) -> None:
        """Close so that the server gets an error instead of an end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.socket.close()
        self._end()

    def _end(self) -> None:
        self.ended = True
        self._expects_end = False
        self._probes_unanswered = 0
        self._final = len(self._replies)

    def next_reply(self) -> Reply:
        """Wait for one reply; TimeoutError if none comes."""
        while (reply := cut_reply(self.stream)) is None:
            arrived = self.socket.recv(1 << 16)
            assert arrived, "the server has closed the monitor's connection"
            self.stream += arrived
        return reply

    def receive(self) -> None:
        """Read what has arrived, without waiting."""
        while not self.ended and select.select([self.socket], [], [], 0)[0]:
            arrived = self.socket.recv(1 << 16)
            self.stream += arrived
            while (reply := cut_reply(self.stream)) is not None:
                self._sort_in(reply)
            if not arrived:
                assert not self.stream, f"the last reply is incomplete: {bytes(self.stream)!r}"
                self._replies.append(END)
                self.close()

    def _sort_in(self, reply: Reply) -> None:
        if reply == self._probe_answer:
            self._probes_unanswered -= 1
            self._final = len(self._replies)
        else:
            self._replies.append(reply)

    def latest(self) -> str:
        """What came last, for a message."""
        return f"{[str(reply) for reply in self._replies[-3:]]} and {bytes(self.stream)!r}"

    def take(self) -> list[Reply]:
        """Take the replies that are certainly complete."""
        taken, self._replies = self._replies[: self._final], self._replies[self._final :]
        self._final = 0
        return taken
