"""What a queue has promised holds, wherever the machine stops and whatever the disk does.

Everything is simulated: clients, time, the disk, and what of it survives. What each policy promises
is held to it: `-f 0` under a loss of power, the others when the process is killed.

One small load is stopped at every operation. Besides, many random ones are played. More of them,
and a stop at every byte of every record, with

    BEANROW_CRASH_RUNS=100000 make test ARGS=tests/crash/test_simulated_crashes.py
    BEANROW_CRASH_EVERY_BYTE=1 make test ARGS=tests/crash/test_simulated_crashes.py

A random run that fails names its seed; this plays it alone, to the same end:

    BEANROW_CRASH_SEED=7 BEANROW_CRASH_RUNS=1 make test ARGS=tests/crash/test_simulated_crashes.py
"""

import errno
import logging
import os
import random
from collections.abc import Iterator

import pytest

from tests.crash.faulty_storage import Directory, Inode, Plan
from tests.crash.simulated.machine import KILL, POWER, Habits, Machine
from tests.crash.simulated.runs import MANNERS, live_through, random_run

RUNS = int(os.environ.get("BEANROW_CRASH_RUNS", "150"))
FIRST_SEED = int(os.environ.get("BEANROW_CRASH_SEED", random.randrange(1 << 32)))
EVERY_BYTE = bool(os.environ.get("BEANROW_CRASH_EVERY_BYTE"))

#: Long enough for several segments, and for some to be removed.
TICKS = 30

#: -f 0, -f 50, -F
policies = pytest.mark.parametrize("sync_interval_ms", [0, 50, None])

#: How the machine stops, and how once more right after its next start.
manners = pytest.mark.parametrize("manners", [(KILL,), (POWER,), (KILL, POWER), (POWER, KILL)])


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    """Thousands of servers have much to tell."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def habits(sync_interval_ms: int | None, seed: int = 9) -> Habits:
    return Habits(seed, sync_interval_ms, segment_bytes=1024)


def stops(machine: Machine) -> Iterator[tuple[int, int]]:
    """Every operation that the machine has done, and in each write some of its bytes."""
    storage = machine.storage
    for operation in range(1, storage.counts["any"] + 1):
        size = storage.write_sizes.get(operation, 1)
        # A manifest is mostly padding.
        has_records = "manifest" not in storage.trace[operation - 1]
        every = EVERY_BYTE and has_records
        for done in range(size) if every else sorted({0, 1, size // 2, size - 1}):
            yield operation, done


def live(habits: Habits, plan: Plan, *manners: str) -> None:
    try:
        live_through(habits, plan, TICKS, *manners)
    except Exception as error:
        raise AssertionError(f"{habits}, {plan}, then {manners}") from error


def play_undisturbed(habits: Habits) -> Machine:
    machine = Machine(habits)
    assert machine.recover()
    assert machine.play(TICKS)
    return machine


@pytest.mark.timeout(1800)
@policies
@manners
def test_a_stop_at_every_operation(sync_interval_ms: int | None, manners: tuple[str, ...]) -> None:
    undisturbed = play_undisturbed(habits(sync_interval_ms))
    assert undisturbed.storage.counts["remove"], "the load is too small"
    for operation, done in stops(undisturbed):
        plan = Plan(stop_at=operation, stop_after_bytes=done, seed=operation + done)
        live(habits(sync_interval_ms), plan, *manners)


@policies
@pytest.mark.parametrize("manner", MANNERS)
def test_a_stop_at_every_byte_of_the_last_record(sync_interval_ms: int | None, manner: str) -> None:
    storage = play_undisturbed(habits(sync_interval_ms)).storage
    operation = max(n for n in storage.write_sizes if "segment" in storage.trace[n - 1])
    size = storage.write_sizes[operation]
    for done in range(size + 1):
        plan = Plan(stop_at=operation, stop_after_bytes=done, seed=done)
        live(habits(sync_interval_ms), plan, manner)


@policies
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
def test_a_failure_at_every_operation(sync_interval_ms: int | None, code: int) -> None:
    """Also of a sync, after which the disk is not what the kernel takes it for."""
    count = play_undisturbed(habits(sync_interval_ms)).storage.counts["any"]
    for operation in range(1, count + 1):
        for manner in MANNERS:
            plan = Plan(failures={("any", operation): code}, seed=operation)
            live(habits(sync_interval_ms), plan, manner)


@pytest.mark.timeout(60 + RUNS)
def test_anything_at_any_time() -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + RUNS):
        try:
            random_run(seed)
        except Exception as error:
            raise AssertionError(
                f"BEANROW_CRASH_SEED={seed} BEANROW_CRASH_RUNS=1 plays this again"
            ) from error


# --- the check itself -----------------------------------------------------------------------------


def findings() -> str:
    """What is amiss in a few runs that end in a loss of power."""
    found = []
    for seed in range(20):
        machine = Machine(Habits(seed, sync_ticks=3, segment_bytes=1024))
        assert machine.recover()
        machine.play(TICKS)
        machine.stop(POWER)
        try:
            machine.recover()
        except AssertionError as error:
            found.append(str(error))
        machine.stop(POWER)
    return "\n".join(found)


def test_sound_runs_have_nothing_amiss() -> None:
    assert findings() == ""


@pytest.mark.parametrize("sync", [(Inode, "end_sync"), (Directory, "sync")], ids=str)
def test_a_sync_that_does_nothing_is_noticed(
    monkeypatch: pytest.MonkeyPatch, sync: tuple[type, str]
) -> None:
    """Then the journal confirms what is not on the disk."""
    monkeypatch.setattr(*sync, lambda *_: None)
    assert "may only be one of" in findings()
