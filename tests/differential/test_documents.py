"""What fresh servers tell of themselves, nothing but their own numbers masked."""

from tests.differential.duel import running_subject
from tests.differential.player import Wire
from tests.differential.replies import Reply, agree, as_1_13, document
from tests.peers import RunningServer, running_beanstalkd

REQUESTS = (
    b"stats",
    b"stats-tube default",
    b"list-tubes",
    b"list-tubes-watched",
    b"list-tube-used",
    b"put 5 0 100 1\r\nx",
    b"stats-job 1",
    b"stats",
)


def test_fresh_servers_tell_the_same() -> None:
    with running_beanstalkd() as oracle, running_subject() as subject:
        expected, got = replies_of(oracle), replies_of(subject)
    for request, one, other in zip(REQUESTS, expected, got, strict=True):
        assert agree(one, other), f"{request!r}: expected {one}, got {other}"
    # The rest of the suite asks for `stats` itself and cannot compare how often that was done.
    assert [cmd_stats(reply) for reply in (got[0], got[-1])] == ["1", "2"]
    assert [cmd_stats(reply) for reply in (expected[0], expected[-1])] == ["1", "2"]


def replies_of(server: RunningServer) -> list[Reply]:
    wire = Wire(server)
    replies = []
    try:
        for request in REQUESTS:
            wire.send(request + b"\r\n")
            replies.append(wire.next_reply())
    finally:
        wire.close()
    return [as_1_13(reply) for reply in replies] if server.name == "beanstalkd" else replies


def cmd_stats(reply: Reply) -> str:
    return dict(document(reply))["cmd-stats"]
