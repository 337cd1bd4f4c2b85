"""Replies of a server, cut out of what a socket brings."""

import socket
from collections.abc import Sequence
from typing import NamedTuple

_WITH_BODY = (b"RESERVED", b"FOUND", b"OK")
_COMMANDS_AT_ONCE = 50


class Reply(NamedTuple):
    """The words of its line, and the body behind it if it has one."""

    words: list[bytes]
    body: bytes

    @property
    def name(self) -> bytes:
        return self.words[0]

    @property
    def number(self) -> int:
        """The id, or the count, that follows the name."""
        return int(self.words[1])


def take_reply(received: bytearray) -> Reply | None:
    """Remove the first reply from the buffer; None while it is not complete."""
    line_end = received.find(b"\r\n")
    if line_end < 0:
        return None
    words = bytes(received[:line_end]).split(b" ")
    end = line_end + 2
    body = b""
    if words[0] in _WITH_BODY:
        body_end = end + int(words[-1])
        if len(received) < body_end + 2:
            return None
        body = bytes(received[end:body_end])
        end = body_end + 2
    del received[:end]
    return Reply(words, body)


class Wire:
    """A connection that asks and waits for the answers."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._received = bytearray()

    def ask(self, command: bytes) -> Reply:
        """Send one command, without its line end, and return the reply."""
        return self.ask_all([command])[0]

    def ask_all(self, commands: Sequence[bytes]) -> list[Reply]:
        """Send many commands, some at a time, and return the replies in their order."""
        replies: list[Reply] = []
        for start in range(0, len(commands), _COMMANDS_AT_ONCE):
            batch = commands[start : start + _COMMANDS_AT_ONCE]
            self._socket.sendall(b"".join(command + b"\r\n" for command in batch))
            replies += [self._reply() for _ in batch]
        return replies

    def _reply(self) -> Reply:
        while (reply := take_reply(self._received)) is None:
            chunk = self._socket.recv(1 << 16)
            if not chunk:
                raise ConnectionError("the server hung up")
            self._received += chunk
        return reply


def document(reply: Reply) -> dict[str, str]:
    """What a stats document says; empty when there is none."""
    lines = reply.body.decode().splitlines()
    return {key: value.strip('"') for key, _, value in (line.partition(": ") for line in lines[1:])}
