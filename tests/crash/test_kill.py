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

from tests.crash.kill.audit import Audit
from tests.crash.kill.ledger import Ledger
from tests.crash.kill.mixed_load import CLIENTS, Client, all_tubes, run_load
from tests.crash.kill.rounds import Rounds
from tests.crash.kill.wire import Wire
from tests.peers import running_beanrow

ROUNDS = int(os.environ.get("BEANROW_KILL_ROUNDS", "8"))
SEED = int(os.environ.get("BEANROW_KILL_SEED", random.randrange(1 << 32)))


@pytest.mark.timeout(60 + 10 * ROUNDS)
def test_a_killed_server_comes_back_with_what_it_acknowledged() -> None:
    folder = Path(tempfile.mkdtemp(prefix="beanrow-kill-"))
    Rounds(folder, SEED).run(ROUNDS, print)
    shutil.rmtree(folder)


def test_the_audit_sees_a_server_that_forgets() -> None:
    """Without a journal, a killed server comes back with nothing."""
    ledger, rng = Ledger(), random.Random(SEED)
    with running_beanrow() as server:
        clients = [
            Client(server.connect(), index, f"c{index}", ledger, rng, most_jobs=100)
            for index in range(CLIENTS)
        ]
        run_load(clients, 0.3, server.process.kill)
        server.process.wait()
    ledger.end_of_life()
    with running_beanrow() as server, server.connect() as connected:
        findings = "\n".join(Audit(Wire(connected), ledger).run(all_tubes(), rng))
    assert "is lost" in findings
    assert "was given again" in findings
