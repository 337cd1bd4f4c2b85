"""The clients from npm: each runs in a Node.js process of its own, told what to do over pipes.

`npm/bridge.js` opens a client and answers each line of JSON, `[verb, argument, ...]`, with one that
holds what the client `saw`, or its `error`. Its first line names the `verbs` the client has.
"""

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tests.clients.story import Verbs
from tests.peers import require_peer

BRIDGE = Path(__file__).parent / "npm" / "bridge.js"
STOP_TIMEOUT_S = 10.0


class NodeClientError(Exception):
    """The client, or Node.js itself, reported a failure."""


def node_verbs(client: str) -> Callable[[str, int], AbstractContextManager[Verbs]]:
    """Return what opens this client, the name of a file beside the bridge, on a host and port."""

    @contextmanager
    def running(host: str, port: int) -> Iterator[Verbs]:
        require_peer("npm")
        with (
            # Old clients fill standard error with warnings about calls that are going away.
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(
                ["node", str(BRIDGE), client, host, str(port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
            ) as node,
        ):
            try:
                names = _read(node, errors)["verbs"]
                yield {name: _asking(node, errors, name) for name in names}
            finally:
                node.terminate()
                node.wait(STOP_TIMEOUT_S)

    return running


def _asking(node: subprocess.Popen[str], errors: Any, verb: str) -> Callable[..., object]:
    def ask(*arguments: int | str) -> object:
        assert node.stdin is not None
        print(json.dumps([verb, *arguments]), file=node.stdin, flush=True)
        answer = _read(node, errors)
        if "error" in answer:
            raise NodeClientError(answer["error"])
        return answer["saw"]

    return ask


def _read(node: subprocess.Popen[str], errors: Any) -> dict[str, Any]:
    assert node.stdout is not None
    line = node.stdout.readline()
    if not line:
        errors.seek(0)
        raise NodeClientError(f"the bridge ended:\n{errors.read()}")
    answer: dict[str, Any] = json.loads(line)
    return answer
