"""The loop and the thread that syncs meet everywhere: many tiny segments, quick switches."""

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from beanrow.engine.engine import Engine
from beanrow.engine.replay import Replay
from beanrow.journal.base import ADMITTED
from beanrow.journal.local import LocalJournal
from beanrow.journal.storage import LocalStorage

NOW_NS = 10**18
TICKS = 300


@pytest.fixture(autouse=True)
def quick_switches() -> Iterator[None]:
    """Threads take turns so often that they meet each other everywhere."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.parametrize("segment_bytes", [600, 3000])
@pytest.mark.parametrize("sync_interval_ms", [0, 1, None])
def test_nothing_is_lost_and_nobody_stumbles(
    tmp_path: Path, segment_bytes: int, sync_interval_ms: int | None
) -> None:
    rng = random.Random(segment_bytes)
    engine = Engine()
    journal = LocalJournal(
        LocalStorage(tmp_path), segment_bytes=segment_bytes, sync_interval_ms=sync_interval_ms
    )
    journal.replay(Replay(engine), lambda: None)
    session = engine.open_session()
    position = 0
    for _ in range(TICKS):
        for _ in range(rng.randrange(6)):
            if rng.random() < 0.55:
                assert journal.admit_put(7, 200) == ADMITTED
                body = b"x" * rng.randrange(200)
                job = engine.begin_put(session, 1, 0, 60, NOW_NS)
                engine.finish_put(job, body, NOW_NS)
            elif engine.jobs:
                engine.delete(session, rng.choice(list(engine.jobs)))
        journal.append(engine.changes)
        position = journal.commit()
        assert journal.trouble == ""
    until_s = time.monotonic() + 30
    while journal.durable < position:
        assert time.monotonic() < until_s
        time.sleep(0.001)
    journal.close()
    assert replayed(tmp_path) == {job.id: job.body for job in engine.jobs.values()}


def replayed(path: Path) -> dict[int, bytes]:
    engine = Engine()
    journal = LocalJournal(LocalStorage(path), segment_bytes=3000, sync_interval_ms=0)
    replay = Replay(engine)
    journal.replay(replay, lambda: None)
    replay.finish(NOW_NS)
    journal.close()
    return {job.id: job.body for job in engine.jobs.values()}
