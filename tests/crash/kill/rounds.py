"""Kill a server in the middle of its work, start it again, and see that nothing is lost.

    python -m tests.crash.kill.rounds --rounds 200

A round starts the server on the directory of the round before, compares all that it has with what
its clients were told (`audit`), puts a load on it (`mixed_load`), and kills it. Now and then it is
killed once more while it starts, or asked to stop. The policy of the journal changes from round to
round; none of them may lose anything when only the process dies.

    python -m tests.crash.kill.rounds --server beanstalkd

shows that the audit sees what there is to see: beanstalkd does not keep everything.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from beanrow.journal.record import JOB_BYTES
from tests.crash.kill.audit import Audit
from tests.crash.kill.ledger import Ledger
from tests.crash.kill.mixed_load import CLIENTS, Client, all_tubes, run_load
from tests.crash.kill.wire import Wire
from tests.e2e.server_process import SERVE
from tests.peers import BEANSTALKD, HOST, free_port

POLICIES = (("-f", "0"), ("-f", "50"), ("-F",))
#: Small, so that segments come and go all the time. The largest jobs need longer ones.
SEGMENT_BYTES = 65_536
#: With few jobs segments go because nothing is left in them, with many by compaction.
MOST_JOBS = (20, 100, 400)
LOAD_S = (0.05, 0.5)
KILLS_WHILE_STARTING = 0.2  # of all starts
KILL_WHILE_STARTING_S = (0.05, 0.4)
STOPS = 0.1  # of all ends

START_S = 30.0
END_S = 15.0
REPLY_S = 15.0
TIDYING_S = 3.0
MOST_FINDINGS = 20


class Life:
    """A server from its start to its end."""

    def __init__(self, command: list[str], log: Path) -> None:
        with log.open("ab") as log_file:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log_file, stderr=subprocess.STDOUT
            )

    def end(self, number: signal.Signals) -> None:
        """Send a signal, and see that the server ends by nothing else."""
        status = self.process.poll()
        assert status is None, f"the server ended by itself, with status {status}"
        self.process.send_signal(number)
        status = self.process.wait(END_S)
        assert status in (0, -number), f"the server ended with status {status}"

    def make_sure_of_end(self) -> None:
        self.process.kill()
        self.process.wait()


class Rounds:
    """Many lives of one journal. Everything is kept in `folder`:

    `journal`, `before` (the journal as it was before the last start), `log` (of all servers).
    """

    def __init__(self, folder: Path, seed: int, server: str = "beanrow") -> None:
        self.folder = folder
        self.seed = seed
        self._server = server
        self._rng = random.Random(seed)
        self._ledger = Ledger()
        self._port = 0
        self._starts = 0
        self._journal = folder / "journal"
        self._journal.mkdir()

    def run(self, rounds: int, say: Callable[[str], None] = lambda _: None) -> None:
        """Raises AssertionError with all that is needed to look into it."""
        number = 0
        try:
            for number in range(1, rounds + 1):
                with self._audited_life() as life:
                    say(f"round {number} of {rounds}: {self._load_and_end(life, number)}")
            with self._audited_life() as life:
                life.end(signal.SIGTERM)
        except (AssertionError, OSError) as error:
            raise AssertionError(
                f"round {number} of seed {self.seed}, all of it in {self.folder}: {error}"
            ) from error

    @contextmanager
    def _audited_life(self) -> Iterator[Life]:
        """Start the server, and stay connected: a tube may vanish when nobody watches it."""
        self._keep_a_copy()
        while self._rng.random() < KILLS_WHILE_STARTING:
            life = self._begin_life()
            time.sleep(self._rng.uniform(*KILL_WHILE_STARTING_S))
            life.make_sure_of_end()
        life = self._begin_life()
        try:
            with self._connect_first(life) as connected:
                findings = Audit(Wire(connected), self._ledger).run(all_tubes(), self._rng)
                assert not findings, "\n  ".join(["the audit found", *findings[:MOST_FINDINGS]])
                self._check_size()
                yield life
        finally:
            life.make_sure_of_end()

    def _check_size(self) -> None:
        """Below twice the live bytes and two segments, as soon as the disk has been tidied up."""
        jobs = self._ledger.jobs.values()
        live = sum(JOB_BYTES + len(job.tube) + len(job.body) for job in jobs)
        bound = 2 * live + 2 * SEGMENT_BYTES
        give_up_s = time.monotonic() + TIDYING_S
        while (size := _segment_bytes_in(self._journal)) > bound:
            assert time.monotonic() < give_up_s, f"{size} bytes on disk for {live} live ones"
            time.sleep(0.01)

    def _load_and_end(self, life: Life, number: int) -> str:
        ledger = self._ledger
        jobs, last_id = len(ledger.jobs), ledger.last_id
        seconds = self._rng.uniform(*LOAD_S)
        sign = signal.SIGTERM if self._rng.random() < STOPS else signal.SIGKILL
        most_jobs = self._rng.choice(MOST_JOBS)
        clients = [
            self._client(f"r{number}-c{index}", index, most_jobs) for index in range(CLIENTS)
        ]
        run_load(clients, seconds, lambda: life.end(sign))
        ledger.end_of_life()
        puts = ledger.last_id - last_id
        return (
            f"{jobs} jobs found as they must be; {puts} puts in {seconds:.2f} s, then {sign.name}"
        )

    def _client(self, name: str, index: int, most_jobs: int) -> Client:
        rng = random.Random(f"{self.seed} {name}")
        return Client(self._connect(), index, name, self._ledger, rng, most_jobs)

    # --- the server -------------------------------------------------------------------------

    def _begin_life(self) -> Life:
        self._port = free_port()
        policy = POLICIES[self._starts % len(POLICIES)]
        self._starts += 1
        command = [str(BEANSTALKD)] if self._server == "beanstalkd" else [*SERVE]
        command += ["-l", HOST, "-p", str(self._port)]
        command += ["-b", str(self._journal), "-s", str(SEGMENT_BYTES), *policy]
        return Life(command, self.folder / "log")

    def _connect_first(self, life: Life) -> socket.socket:
        give_up_s = time.monotonic() + START_S
        while life.process.poll() is None and time.monotonic() < give_up_s:
            try:
                return self._connect()
            except ConnectionRefusedError:
                time.sleep(0.01)
        log = (self.folder / "log").read_text(errors="replace").splitlines()
        raise AssertionError("\n  ".join(["the server did not start", *log[-5:]]))

    def _connect(self) -> socket.socket:
        return socket.create_connection((HOST, self._port), REPLY_S)

    def _keep_a_copy(self) -> None:
        copy = self.folder / "before"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self._journal, copy)


def _segment_bytes_in(folder: Path) -> int:
    """Segments may vanish while we look."""
    total = 0
    for segment in folder.glob("segment-*"):
        with suppress(FileNotFoundError):
            total += segment.stat().st_size
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill a server again and again; lose nothing.")
    parser.add_argument("--rounds", type=int, default=200, metavar="N")
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="default: a new one")
    parser.add_argument("--server", choices=("beanrow", "beanstalkd"), default="beanrow")
    options = parser.parse_args()
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    folder = Path(tempfile.mkdtemp(prefix="beanrow-kill-"))
    try:
        Rounds(folder, seed, options.server).run(options.rounds, print)
    except AssertionError as error:
        sys.exit(str(error))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
