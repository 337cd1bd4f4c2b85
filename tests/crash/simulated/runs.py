"""Runs of a machine from start to end: one stop at a chosen place, or many things at random."""

from __future__ import annotations

import errno
import random
from collections.abc import Mapping
from typing import Final

from beanrow.journal.base import BROKEN, FULL
from beanrow.journal.errors import JournalError
from tests.crash.faulty_storage import ENDLESS_BYTES, OPERATIONS, Plan
from tests.crash.simulated.machine import KILL, POWER, Habits, Machine

MANNERS: Final = (KILL, POWER)

#: What may fail in a random run. A sync is not among them: after that, a queue accepts nothing.
FAILING: Final = tuple(name for name in OPERATIONS if name not in ("sync", "sync names", "any"))


def live_through(habits: Habits, plan: Plan, ticks: int, *manners: str) -> Machine:
    """Play by plan, stop in these manners one after the other, and go on undisturbed."""
    machine = Machine(habits, plan)
    try:
        alive = machine.recover()
    except JournalError:
        assert plan.failures, "nothing but a failing disk keeps a server from its start"
        alive = False
    if alive:
        machine.play(ticks)
    for manner in manners:
        machine.stop(manner)
        assert machine.recover()
    check_health(machine)
    return machine


def check_health(machine: Machine) -> None:
    """All is well now: what is put is accepted, and is there after a loss of power."""
    answers = machine.load.answers
    refused = answers[FULL] + answers[BROKEN]
    assert machine.play(5)
    assert answers[FULL] + answers[BROKEN] == refused
    machine.close()
    machine.stop(POWER)
    assert machine.recover()
    before = [str(each) for each in machine.promises.views()]
    machine.stop(POWER)
    assert machine.recover()
    assert [str(each) for each in machine.promises.views()] == before
    machine.stop(KILL)


def random_run(seed: int) -> None:
    """A few lives of a machine, in which all sorts of things go wrong."""
    chance = random.Random(seed)
    habits = Habits(
        seed=seed,
        sync_interval_ms=chance.choice((0, 0, 50, None)),
        segment_bytes=chance.choice((512, 1024, 2048, 5000)),
        body_sizes=chance.choice(((0, 1, 20, 100, 300), (0, 10), (0, 3000, 100, 100), (1, 600))),
        most_commands=chance.choice((2, 6, 20)),
        sync_ticks=chance.choice((0, 0, 1, 3)),
    )
    disk_bytes = chance.choice((ENDLESS_BYTES, ENDLESS_BYTES, 15_000, 20_000, 30_000))
    machine = Machine(habits, random_plan(chance, disk_bytes))
    for _ in range(chance.randint(2, 6)):
        start(machine, chance)
        alive = machine.play(chance.randint(1, 80))
        if alive and chance.random() < 0.3:
            machine.close()
        machine.stop(chance.choice(MANNERS), random_plan(chance, machine.storage.plan.disk_bytes))
    start(machine, chance)
    # In the end there is room, too.
    machine.stop(KILL)
    assert machine.recover()
    check_health(machine)


def start(machine: Machine, chance: random.Random) -> None:
    """Start until the machine gets through it.

    From the third time on nothing goes wrong; the fourth time, somebody has made room.
    """
    for attempt in range(4):
        disk_bytes = machine.storage.plan.disk_bytes
        try:
            if machine.recover():
                return
        except JournalError:
            assert machine.storage.plan.failures or disk_bytes < ENDLESS_BYTES
        plans = (
            random_plan(chance, disk_bytes),
            random_plan(chance, disk_bytes),
            Plan(disk_bytes=disk_bytes),
            Plan(),
        )
        machine.stop(chance.choice(MANNERS), plans[attempt])
    assert machine.recover()


def random_plan(chance: random.Random, disk_bytes: int) -> Plan:
    return Plan(
        stop_at=chance.randint(1, 400) if chance.random() < 0.8 else 0,
        stop_after_bytes=chance.randint(0, 600),
        failures=random_failures(chance) if chance.random() < 0.5 else {},
        short_write_every=chance.choice((0, 0, 1, 2, 4)),
        disk_bytes=disk_bytes,
        seed=chance.randrange(1 << 32),
    )


def random_failures(chance: random.Random) -> Mapping[tuple[str, int], int]:
    failures = {
        (operation, chance.randint(1, 40)): chance.choice((errno.EIO, errno.ENOSPC))
        for operation in FAILING
        if chance.random() < 0.3
    }
    if chance.random() < 0.2:
        operation = chance.choice(("sync", "sync names"))
        failures[(operation, chance.randint(1, 60))] = errno.EIO
    return failures
