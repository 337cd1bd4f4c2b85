"""What every client does and must see: one story, told again by each of them on a fresh server.

A client is a mapping from verbs to functions. Jobs come back as `[id, body]`, or None when there is
none; statistics as a mapping, of which only the entries named here are compared; lists of tubes as
lists. What the other functions return is up to the client: they only must not raise.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

Verbs: TypeAlias = Mapping[str, Callable[..., object]]

FIRST: Final = "first, but not the most urgent"
SECOND: Final = "zweite: Käse, cœur, 仕事"
LATER: Final = "later\r\nin two lines"


class Step(NamedTuple):
    verb: str
    arguments: tuple[int | str, ...]
    # What the function returns; the ellipsis stands for anything.
    sees: object = ...
    # A verb on which this step builds; without it the client skips this step too.
    builds_on: str | None = None


STORY: Final = [
    Step("use", ("beans",)),
    Step("watch", ("beans",)),
    Step("watch", ("spare",)),
    Step("ignore", ("spare",)),
    Step("list_tube_used", (), "beans"),
    Step("list_tubes_watched", (), ["default", "beans"]),
    Step("list_tubes", (), ["default", "beans"]),
    # Bodies, priorities, delays and TTRs (s): the second job is the more urgent one.
    Step("put", (FIRST, 10, 0, 60), 1),
    Step("put", (SECOND, 5, 0, 120), 2),
    Step("put", (LATER, 0, 3600, 60), 3),
    Step("peek", (1,), [1, FIRST]),
    Step("peek", (99,), None),
    Step("peek_ready", (), [2, SECOND]),
    Step("peek_delayed", (), [3, LATER]),
    Step("peek_buried", (), None),
    # A job goes out, comes back less urgent, and so another one is next.
    Step("reserve_with_timeout", (1,), [2, SECOND]),
    Step("touch", (2,)),
    Step("stats_job", (2,), {"id": 2, "tube": "beans", "state": "reserved", "pri": 5, "ttr": 120}),
    Step("release", (2, 20, 0)),
    Step("stats_job", (2,), {"state": "ready", "pri": 20, "reserves": 1, "releases": 1}),
    Step("reserve_with_timeout", (1,), [1, FIRST]),
    # It is put aside, found again and kicked.
    Step("bury", (1, 7)),
    Step("peek_buried", (), [1, FIRST]),
    Step("stats_job", (1,), {"state": "buried", "pri": 7, "buries": 1}),
    Step("kick", (10,), 1),
    Step("stats_job", (1,), {"state": "ready", "kicks": 1}, builds_on="kick"),
    Step("kick_job", (3,)),
    Step("stats_job", (3,), {"state": "ready", "kicks": 1}, builds_on="kick_job"),
    # Nothing leaves a paused tube.
    Step("pause_tube", ("beans", 600)),
    Step("reserve_with_timeout", (0,), None, builds_on="pause_tube"),
    Step("stats_tube", ("beans",), {"pause": 600, "cmd-pause-tube": 1}, builds_on="pause_tube"),
    Step("pause_tube", ("beans", 0)),
    Step("stats_tube", ("beans",), {"name": "beans", "total-jobs": 3, "current-using": 1}),
    Step("delete", (1,)),
    Step("delete", (2,)),
    Step("delete", (3,)),
    Step("reserve_with_timeout", (0,), None),
    Step("put", ("last", 0, 0, 1), 4),
    Step("reserve", (), [4, "last"]),
    Step("delete", (4,)),
    Step("stats_tube", ("beans",), {"current-jobs-ready": 0, "total-jobs": 4, "cmd-delete": 4}),
    Step("stats", (), {"cmd-put": 4, "cmd-delete": 4, "current-connections": 1, "total-jobs": 4}),
]

ALL_VERBS: Final = frozenset(step.verb for step in STORY)


def tell(verbs: Verbs) -> None:
    """Take every step for which the client has the verbs, and compare what it saw."""
    for step in STORY:
        if step.verb not in verbs or (step.builds_on and step.builds_on not in verbs):
            continue
        saw = verbs[step.verb](*step.arguments)
        if isinstance(step.sees, Mapping):
            assert isinstance(saw, Mapping), step
            saw = {name: saw.get(name) for name in step.sees}
        if step.sees is not ...:
            assert saw == step.sees, step
