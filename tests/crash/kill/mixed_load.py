"""Several clients that do everything a client can do to jobs, at random, several commands at once.

Each has tubes of its own, in which it alone knows what happens and may kick and pause, and all
share some more. What they ask and what they are answered goes into the ledger.
"""

from __future__ import annotations

import random
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tests.crash.kill.ledger import BURIED, DELAYED, READY, Change, Job, Ledger, name_of
from tests.crash.kill.wire import Reply, take_reply

CLIENTS = 6
SHARED_TUBES = (b"shared-1", b"shared-2")
MOST_COMMANDS_AT_ONCE = 6

#: Nothing that lasts so long ends before the last round.
LONG_S = (20_000, 90_000)
PRIORITIES = (0, 1, 1023, 1024, 100_000, 2**32 - 1)
TTRS_S = (0, 1, 60, 2**32 - 1)
BODY_BYTES = (0, 10, 10, 100, 100, 100, 1000, 5000)
LARGE_BODY_BYTES = 65_000
LARGE_BODIES = 0.002  # of all
#: Some jobs grow old, and segments come and go behind them.
STAYING_JOBS = 0.02  # of all
DELETES_OF_STAYING_JOBS = 0.05  # of all that would be of others

_KICK_ALL = 1_000_000


def own_tubes(number: int) -> tuple[bytes, bytes]:
    """The tubes of one client; it pauses only the second of them."""
    return b"own-%d" % number, b"paused-%d" % number


def all_tubes() -> list[bytes]:
    own = [tube for number in range(CLIENTS) for tube in own_tubes(number)]
    return [*SHARED_TUBES, *own]


class SurpriseError(AssertionError):
    """A server that runs gave an answer that nothing can explain."""


@dataclass(slots=True)
class Asked:
    """A command whose reply has not come yet."""

    verb: str
    job: Job | None = None
    change: Change | None = None
    tube: bytes = b""
    bound: int = 0


class Client:
    """One connection."""

    def __init__(
        self,
        connected: socket.socket,
        number: int,
        name: str,
        ledger: Ledger,
        rng: random.Random,
        most_jobs: int,
    ) -> None:
        self.socket = connected
        self.name = name
        self._ledger = ledger
        self._rng = rng
        self._most_jobs = most_jobs
        self._own = own_tubes(number)
        self._used = b""
        self._puts = 0
        self._asked: deque[Asked] = deque()
        self._received = bytearray()
        self._out = bytearray()
        self._held: list[Job] = []
        for tube in (*self._own, *SHARED_TUBES):
            self._ask(Asked("watch"), b"watch " + tube)

    @property
    def waits(self) -> bool:
        return bool(self._asked)

    def send_some(self) -> None:
        """Think of a few commands and send them all at once."""
        while not self._out:  # not every idea leads to a command
            if self._rng.random() < 0.05:
                self._kick()
            else:
                for _ in range(self._rng.randint(1, MOST_COMMANDS_AT_ONCE)):
                    self._choose()()
        # When the server is gone, what it has answered before is still to be read.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(self._out)
        self._out.clear()

    def receive(self) -> bool:
        """Take the replies that have come. False: no more will come."""
        try:
            chunk = self.socket.recv(1 << 18)
        except ConnectionResetError:
            return False
        self._received += chunk
        while (reply := take_reply(self._received)) is not None:
            if not self._asked:
                raise SurpriseError(f"{self.name} got {reply} without having asked")
            self._take(self._asked.popleft(), reply)
        return bool(chunk)

    def abandon(self) -> None:
        """The server is dead: what was asked may have happened or not."""
        for asked in self._asked:
            if asked.verb == "kick":
                assert asked.change is not None
                for job in self._jobs_of(asked.tube):
                    job.changes.append(asked.change)
        self.socket.close()

    # --- what to do -------------------------------------------------------------------------

    def _choose(self) -> Callable[[], None]:
        is_full = self._is_full()
        choices: dict[Callable[[], None], int] = {
            self._put: 12 if is_full else 30,
            self._reserve: 25,
            self._work: 60 if self._held else 0,
            self._meddle: 50 if is_full else 15,
            self._pause: 2,
        }
        return self._rng.choices(list(choices), list(choices.values()))[0]

    def _is_full(self) -> bool:
        return len(self._ledger.jobs) > self._most_jobs

    def _put(self) -> None:
        tube = self._rng.choice((*self._own, *SHARED_TUBES))
        self._use(tube)
        self._puts += 1
        size = self._rng.choice(BODY_BYTES)
        if self._rng.random() < LARGE_BODIES:
            size = LARGE_BODY_BYTES
        body = f"{self.name}-{self._puts} ".encode() + self._rng.randbytes(size)
        ttr_s = self._rng.choice(TTRS_S)
        job = Job(body, tube, max(ttr_s, 1), stays=self._rng.random() < STAYING_JOBS)
        pri, delay_s = self._pri(), self._delay_s(tube)
        change = self._ledger.send_put(job, self.name, pri, delay_s)
        line = b"put %d %d %d %d\r\n" % (pri, delay_s, ttr_s, len(body))
        self._ask(Asked("put", job, change), line + body)

    def _reserve(self) -> None:
        # One that waits gets its job in the very tick in which that is put or released.
        wait_s = self._rng.random() < 0.003
        self._ask(Asked("reserve"), b"reserve-with-timeout %d" % wait_s)

    def _work(self) -> None:
        """End a reservation, and now and then go on with the same job at once."""
        if not self._held:
            return
        job = self._held.pop(self._rng.randrange(len(self._held)))
        assert job.id is not None
        what = self._rng.random()
        if what < 0.35 or self._is_full():
            self._delete(job)
        elif what < 0.6:
            pri, delay_s = self._pri(), self._delay_s(job.tube)
            change = self._change("release", job, pri, delay_s)
            command = b"release %d %d %d" % (job.id, pri, delay_s)
            self._ask(Asked("release", job, change), command)
        elif what < 0.9:
            pri = self._pri()
            self._ask(
                Asked("bury", job, self._change("bury", job, pri)), b"bury %d %d" % (job.id, pri)
            )
            if job.tube in self._own and self._rng.random() < 0.3:
                self._rng.choice((self._kick_job, self._delete, self._reserve_job))(job)
        else:
            self._held.append(job)
            self._ask(Asked("touch", job), b"touch %d" % job.id)

    def _meddle(self) -> None:
        """Do something to a job that nobody holds."""
        jobs = list(self._ledger.jobs.values())
        for job in self._rng.choices(jobs, k=5 if jobs else 0):
            if job.id is None or not job.is_settled or not self._may_touch(job):
                continue
            state = job.certain
            if state.place == BURIED or (state.place == DELAYED and state.delay_s >= LONG_S[0]):
                self._rng.choice((self._kick_job, self._delete, self._reserve_job))(job)
                return
            if state.place == READY:
                self._delete(job)
                return

    def _kick(self) -> None:
        """Sent alone, so that it is known which jobs it will find."""
        tube = self._rng.choice(self._own)
        buried = [job for job in self._jobs_of(tube) if job.certain.place == BURIED]
        # Which delayed ones would be the first is not sure enough: all of them, then.
        bound = self._rng.randint(1, len(buried) + 2) if buried else _KICK_ALL
        self._use(tube)
        change = self._ledger.send("kick", self.name)
        self._ask(Asked("kick", change=change, tube=tube, bound=bound), b"kick %d" % bound)

    def _kick_job(self, job: Job) -> None:
        self._ask(Asked("kick-job", job, self._change("kick", job)), b"kick-job %d" % (job.id or 0))

    def _reserve_job(self, job: Job) -> None:
        change = self._change("reserve-job", job)
        self._ask(Asked("reserve-job", job, change), b"reserve-job %d" % (job.id or 0))

    def _delete(self, job: Job) -> None:
        if job.stays and self._rng.random() > DELETES_OF_STAYING_JOBS:
            return
        job.deletes_under_way += 1
        self._ask(Asked("delete", job), b"delete %d" % (job.id or 0))

    def _pause(self) -> None:
        tube = self._own[1]
        pause_s = self._rng.choice((0, 0, 1, self._rng.randint(*LONG_S)))
        change = self._ledger.send("pause", self.name, delay_s=pause_s)
        self._ledger.tube(tube).pauses.append(change)
        self._ask(Asked("pause", change=change, tube=tube), b"pause-tube %b %d" % (tube, pause_s))

    def _use(self, tube: bytes) -> None:
        if tube != self._used:
            self._used = tube
            self._ask(Asked("use"), b"use " + tube)

    def _change(self, verb: str, job: Job, pri: int = 0, delay_s: int = 0) -> Change:
        change = self._ledger.send(verb, self.name, pri, delay_s)
        job.changes.append(change)
        return change

    def _ask(self, asked: Asked, command: bytes) -> None:
        self._asked.append(asked)
        self._out += command + b"\r\n"

    def _pri(self) -> int:
        return self._rng.choice(PRIORITIES)

    def _delay_s(self, tube: bytes) -> int:
        """Only jobs of shared tubes become ready by themselves: nobody kicks those unseen."""
        if self._rng.random() < 0.6:
            return 0
        if tube in SHARED_TUBES and self._rng.random() < 0.5:
            return 1
        return self._rng.randint(*LONG_S)

    def _may_touch(self, job: Job) -> bool:
        return job.tube in self._own or job.tube in SHARED_TUBES

    def _jobs_of(self, tube: bytes) -> list[Job]:
        return [job for job in self._ledger.jobs.values() if job.tube == tube]

    # --- what it is answered ----------------------------------------------------------------

    def _take(self, asked: Asked, reply: Reply) -> None:
        answer = (asked.verb, reply.name.decode())
        match answer:
            case ("use", "USING") | ("watch", "WATCHING") | ("touch", "TOUCHED" | "NOT_FOUND"):
                pass
            case ("reserve", "TIMED_OUT" | "DEADLINE_SOON"):
                pass
            case ("reserve", "RESERVED"):
                self._take_reserved(reply)
            case ("pause", "PAUSED"):
                assert asked.change is not None
                self._ledger.acknowledge(asked.change)
            case ("kick", "KICKED"):
                self._take_kicked(asked, reply.number)
            case _:
                assert asked.job is not None, f"{asked.verb} was answered {reply}"
                self._take_answer_for(asked.job, asked, reply)

    def _take_answer_for(self, job: Job, asked: Asked, reply: Reply) -> None:
        match asked.verb, reply.name.decode():
            case "delete", "DELETED":
                self._ledger.delete(job)
                return
            case "delete", "NOT_FOUND":
                job.deletes_under_way -= 1
                return
        change = asked.change
        assert change is not None
        match asked.verb, reply.name.decode():
            case "put", "INSERTED":
                self._ledger.identify(job, reply.number)
                self._ledger.acknowledge(change, job)
            case "reserve-job", "RESERVED":
                self._take_reserved(reply)
                self._ledger.acknowledge(change, job)
            case ("release", "RELEASED") | ("bury", "BURIED") | ("kick-job", "KICKED"):
                self._ledger.acknowledge(change, job)
            case (("release" | "bury" | "kick-job" | "reserve-job"), "NOT_FOUND"):
                self._ledger.refuse(change, job)
            case _:
                raise SurpriseError(f"{asked.verb} of job {job.id} was answered {reply}")

    def _take_reserved(self, reply: Reply) -> None:
        job = self._ledger.jobs.get(name_of(reply.body))
        if job is None or job.body != reply.body:
            raise SurpriseError(f"job {reply.number} has a body that is not among those put")
        self._ledger.identify(job, reply.number)
        self._held.append(job)

    def _take_kicked(self, asked: Asked, kicked: int) -> None:
        assert asked.change is not None
        self._ledger.acknowledge(asked.change)
        jobs = self._jobs_of(asked.tube)
        found = [job for job in jobs if job.certain.place == BURIED]
        found.sort(key=lambda job: job.certain.buried_by.sent if job.certain.buried_by else 0)
        found = found or [job for job in jobs if job.certain.place == DELAYED]
        if kicked != min(asked.bound, len(found)):
            raise SurpriseError(f"kick {asked.bound} of {len(found)} jobs kicked {kicked}")
        for job in found[:kicked]:
            job.changes.append(asked.change)
            self._ledger.settle(job)


def run_load(clients: Sequence[Client], seconds: float, kill: Callable[[], None]) -> None:
    """Let the clients work, kill the server after so many seconds, and read its last replies."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            client.send_some()
            selector.register(client.socket, selectors.EVENT_READ, client)
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            for key, _ in selector.select(left_s):
                client = key.data
                if not client.receive():
                    raise SurpriseError(f"the server hung up on {client.name}")
                if not client.waits:
                    client.send_some()
    kill()
    for client in clients:
        while client.receive():
            pass
        client.abandon()
