"""Random scripts, played to the real server and to beanrow alike.

A failure prints the seed, and the shortest script found that still shows the difference, in the
form of `scripts/`, into which it can be pasted. `DIFFERENTIAL_SCRIPTS=5000` plays longer,
`DIFFERENTIAL_SEED=77` begins with that seed.
"""

import os
from collections.abc import Iterator, Sequence

import pytest

from tests.differential.duel import Arena, DisagreementError, Duel
from tests.differential.generator import MAX_JOB_BYTES, WAITING_LINES, Group, ScriptWriter
from tests.differential.script import Act

SCRIPTS = int(os.environ.get("DIFFERENTIAL_SCRIPTS", "150"))
FIRST_SEED = int(os.environ.get("DIFFERENTIAL_SEED", "0"))
GROUPS_PER_SCRIPT = 50


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    with Arena("-z", str(MAX_JOB_BYTES)) as arena:
        yield arena


@pytest.mark.timeout(120 + SCRIPTS)
def test_both_servers_answer_alike(arena: Arena) -> None:
    play_random_scripts(arena, SCRIPTS)


@pytest.mark.timeout(120 + SCRIPTS)
def test_a_journal_makes_no_difference() -> None:
    with Arena("-z", str(MAX_JOB_BYTES), "-b", "JOURNAL") as arena:
        play_random_scripts(arena, SCRIPTS // 3)


def play_random_scripts(arena: Arena, count: int) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        script = ScriptWriter(seed).write(GROUPS_PER_SCRIPT)
        difference = difference_in(arena, script)
        if difference is not None:
            shortest = shortened(arena, script)
            again = difference_in(arena, shortest)
            pytest.fail(f"seed {seed}: {again or f'(this did not repeat itself) {difference}'}")


def difference_in(arena: Arena, script: Sequence[Group]) -> DisagreementError | None:
    """Play a script; return what shows that the servers differ, or None."""
    try:
        with arena.duel() as duel:
            for group in script:
                if not is_ambiguous(duel, group):
                    for step in group:
                        duel.play(step)
            duel.finish()
    except DisagreementError as difference:
        return difference
    return None


def is_ambiguous(duel: Duel, group: Group) -> bool:
    """Whether the outcome would depend on who of several is served first.

    While somebody waits, nobody else may begin to wait; and what is sent behind a waiting reserve
    would run beside the rest of the piece that wakes it.
    """
    waiting = duel.waiting()
    parting = group[0].act in (Act.CLOSE, Act.RESET, Act.HALF_CLOSE)
    return any(
        (step.connection in waiting and not parting)
        or (bool(waiting) and step.text.split("\\r\\n")[-1] in WAITING_LINES)
        for step in group
    )


def shortened(arena: Arena, script: Sequence[Group]) -> list[Group]:
    """Leave out ever smaller parts of a script for as long as the servers still differ."""
    shortest = list(script)
    size = len(shortest) // 2
    while size:
        at = 0
        while at < len(shortest):
            candidate = shortest[:at] + shortest[at + size :]
            if difference_in(arena, candidate) is None:
                at += size
            else:
                shortest = candidate
        size //= 2
    return shortest
