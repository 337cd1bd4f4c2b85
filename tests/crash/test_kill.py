"""Nothing acknowledged is lost, nothing deleted returns, however often the server is killed.

`make test` runs a few rounds. Many more, on a seed of one's own if one likes:

    BEANROW_KILL_ROUNDS=200 make test ARGS=tests/crash/test_kill.py
    BEANROW_KILL_ROUNDS=20 BEANROW_KILL_SEED=7 make test ARGS=tests/crash/test_kill.py

A failure names its seed and the folder in which the journal is kept. How long a server lives
decides what it has done by then, so a seed gives the same load again but not the same moment.
"""

import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.crash.kill.rounds import Rounds

ROUNDS = int(os.environ.get("BEANROW_KILL_ROUNDS", "8"))
SEED = int(os.environ.get("BEANROW_KILL_SEED", random.randrange(1 << 32)))


@pytest.mark.timeout(60 + 10 * ROUNDS)
def test_a_killed_server_comes_back_with_what_it_acknowledged() -> None:
    folder = Path(tempfile.mkdtemp(prefix="beanrow-kill-"))
    Rounds(folder, SEED).run(ROUNDS, print)
    shutil.rmtree(folder)
