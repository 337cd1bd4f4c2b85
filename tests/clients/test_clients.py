"""Other people's clients work with beanrow unchanged, as they do with the real beanstalkd."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

import pytest

from tests.clients.node_clients import node_verbs
from tests.clients.python_clients import (
    aiostalk_verbs,
    beanstalkc3_verbs,
    greenstalk_verbs,
    pystalk_verbs,
    pystalkd_verbs,
)
from tests.clients.story import ALL_VERBS, Verbs, tell
from tests.peers import RunningServer


class Client(NamedTuple):
    open: Callable[[str, int], AbstractContextManager[Verbs]]
    # Verbs that the client does not offer, or that do not work with any server.
    lacks: frozenset[str] = frozenset()


CLIENTS = {
    "aiostalk": Client(aiostalk_verbs, frozenset({"kick_job"})),
    "beanstalkc3": Client(beanstalkc3_verbs),
    "greenstalk": Client(greenstalk_verbs),
    "pystalk": Client(
        pystalk_verbs,
        frozenset({"list_tube_used", "list_tubes_watched", "peek", "reserve", "touch"}),
    ),
    "pystalkd": Client(pystalkd_verbs),
    "npm-beanstalkd": Client(node_verbs("beanstalkd"), frozenset({"kick"})),
    "npm-fivebeans": Client(node_verbs("fivebeans")),
    "npm-jackd": Client(node_verbs("jackd"), frozenset({"pause_tube"})),
    "npm-nodestalker": Client(node_verbs("nodestalker"), frozenset({"kick_job"})),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
def test_client_tells_the_story(client: Client, either_server: RunningServer) -> None:
    with client.open(either_server.host, either_server.port) as verbs:
        assert ALL_VERBS - verbs.keys() == client.lacks
        tell(verbs)
