"""Random scripts: valid and malformed lines over a few connections, cut in any way.

Left out is what beanrow does differently by intention (docs/compatibility.md), as far as a script
alone can tell: lone carriage returns, looking at a job whose body has not come, and lines whose
end falls on the edge of one of beanstalkd's 224-byte blocks. All times are far beyond the length
of a run, so that nothing happens by itself.
"""

import random
from collections.abc import Callable

from beanrow.protocol.limits import MAX_LINE_BYTES
from tests.differential.script import Act, Step, encode

#: What the servers have to be started with (`-z`), so that bodies can be too big and yet small.
MAX_JOB_BYTES = 20

#: The lines that may let a connection wait; they are always the last of their piece.
WAITING_LINES = ("reserve", "reserve-with-timeout 100000")

#: Steps that only make sense together.
Group = tuple[Step, ...]

_CONNECTIONS = "abcd"
_TUBES = ("default", "default", "default", "t", "t", "u", "{a*200}")
_PRIORITIES = (0, 1, 1, 5, 1023, 1024, 2**32 - 1)
_DELAYS = (0, 0, 0, 100_000, 100_001, 100_500, 2**32 - 1)
_TTRS = (100_000, 100_001, 2**32 - 1)
_BODIES = {
    "": 0,
    "x": 1,
    "abc": 3,
    "\\r\\n": 2,
    "a\\0\\xff": 3,
    "{y*19}": 19,
    f"{{z*{MAX_JOB_BYTES}}}": MAX_JOB_BYTES,
    f"{{z*{MAX_JOB_BYTES + 1}}}": MAX_JOB_BYTES + 1,
}
_KICKS = ("0", "1", "1", "2", "9", "2x", " -1", "\\t1", "+1", "4294967297", "4294967296")
_NOISE = (" ", "  ", "\\t", "\\n", "\\0", "-", "+", "x", "{x*250}", ".", "\\xff", "q", ";", "!")
_HUGE = ("4294967296", "18446744073709551615", "18446744073709551616", "{9*60}")
_BAD_PUTS = (
    "put 0 0 100000 3\\r\\nabcdefg",
    "put 0 0 100000 3\\r\\nabXYZ",
    "put 0 0 100000 3x\\r\\nabc",
    "put 0 0 100000 3 \\r\\nabc",
    "put 0 0 100000 21x\\r\\n{x*21}",
    "put 0 0 100000\\r\\nabc",
    "put 0 0 100000 4294967296\\r\\nabc",
    "put 4294967296 0 100000 3\\r\\nabc",
    "put -1 0 100000 3\\r\\nabc",
    "put  1  0 100000  3\\r\\nabc",
    "put 1 0 100000 3\\0\\r\\nabc",
    "put",
    "put ",
)


class ScriptWriter:
    """Writes one random script; the same seed writes the same."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._puts = 0

    def write(self, group_count: int) -> list[Group]:
        kinds: dict[Callable[[], Group], int] = {
            self._piece: 70,
            self._split_put: 8,
            self._request_for_stats: 6,
            self._parting: 6,
        }
        return [
            self._random.choices(list(kinds), list(kinds.values()))[0]() for _ in range(group_count)
        ]

    def _piece(self) -> Group:
        """One or several lines, sent at once or byte by byte; only the last may wait."""
        lines = [self._line() for _ in range(self._random.choice((1, 1, 1, 2, 3)))]
        if self._random.random() < 0.15:
            lines[-1] = self._random.choice(WAITING_LINES)
        act = Act.SEND_BYTEWISE if self._random.random() < 0.1 else Act.SEND
        return (Step(act, self._connection(), "\\r\\n".join(lines)),)

    def _split_put(self) -> Group:
        """A put whose body comes later than what another connection says meanwhile."""
        one, other = self._random.sample(_CONNECTIONS, 2)
        head, _, body = self._put().partition("\\r\\n")
        meanwhile = self._random.choice((self._put, self._verb_on_tube, self._verb_on_reserved))()
        return (
            Step(Act.SEND_PART, one, head + "\\r\\n"),
            Step(Act.SEND, other, meanwhile),
            Step(Act.SEND, one, body),
        )

    def _request_for_stats(self) -> Group:
        return (Step(Act.SEND, self._connection(), "stats"),)

    def _parting(self) -> Group:
        if self._random.random() < 0.2:
            return (Step(Act.SEND, self._connection(), "quit"),)
        act = self._random.choice((Act.CLOSE, Act.RESET, Act.HALF_CLOSE))
        return (Step(act, self._connection()),)

    def _line(self) -> str:
        """A line, good or bad, that lets nobody wait; a put with its body."""
        roll = self._random.random()
        if roll < 0.08:
            return self._malformed()
        if roll < 0.11:
            return self._random.choice(_BAD_PUTS)
        return self._good_line()

    def _good_line(self) -> str:
        kinds: dict[Callable[[], str], int] = {
            self._put: 25,
            self._take: 20,
            self._verb_on_reserved: 20,
            self._verb_on_job: 15,
            self._verb_on_tube: 12,
            self._verb_alone: 8,
        }
        return self._random.choices(list(kinds), list(kinds.values()))[0]()

    def _put(self) -> str:
        body = self._random.choice(list(_BODIES))
        if _BODIES[body] <= MAX_JOB_BYTES:
            self._puts += 1
        return f"put {self._priority()} {self._delay()} {self._ttr()} {_BODIES[body]}\\r\\n{body}"

    def _take(self) -> str:
        """Take a job, and perhaps do something with it."""
        roll = self._random.random()
        if roll < 0.4:
            return "reserve-with-timeout 0"
        taken = self._id()
        if roll < 0.5:
            return f"reserve-job {taken}"
        return f"reserve-job {taken}\\r\\n{self._verb_on_reserved(taken)}"

    def _verb_on_reserved(self, job_id: str | None = None) -> str:
        job_id = job_id or self._id()
        return self._random.choice(
            (
                f"release {job_id} {self._priority()} {self._delay()}",
                f"release {job_id} {self._priority()} {self._delay()}",
                f"bury {job_id} {self._priority()}",
                f"bury {job_id} {self._priority()}",
                f"touch {job_id}",
                f"delete {job_id}",
            )
        )

    def _verb_on_job(self) -> str:
        verb = self._random.choice(("peek", "kick-job", "stats-job", "stats-job", "delete"))
        return f"{verb} {self._id()}"

    def _verb_on_tube(self) -> str:
        tube = self._random.choice(_TUBES)
        if self._random.random() < 0.15:
            return f"pause-tube {tube} {self._random.choice((0, 0, 100_000))}"
        verb = self._random.choice(("use", "watch", "watch", "ignore", "stats-tube"))
        return f"{verb} {tube}"

    def _verb_alone(self) -> str:
        if self._random.random() < 0.4:
            return f"kick {self._random.choice(_KICKS)}"
        return self._random.choice(
            (
                "peek-ready",
                "peek-delayed",
                "peek-buried",
                "list-tubes",
                "list-tube-used",
                "list-tubes-watched",
            )
        )

    def _malformed(self) -> str:
        """A line with something left out, doubled, added or exchanged.

        One that still is a put could take what follows for its body; that is what `_BAD_PUTS`
        are for. One that has become `reserve` could wait.
        """
        while True:
            words = self._good_line().partition("\\r\\n")[0].split(" ")
            at = self._random.randrange(len(words))
            match self._random.randrange(6):
                case 0:
                    del words[at]
                case 1:
                    words.insert(at, words[at])
                case 2:
                    words[at] += self._random.choice(_NOISE)
                case 3:
                    words[at] = self._random.choice(_NOISE) + words[at]
                case 4:
                    words[at] = self._random.choice(_HUGE)
                case _:
                    words[at] = words[at].upper()
            line = " ".join(words)
            if not (line.startswith("put ") or line == "reserve" or _ends_on_edge(line)):
                return line

    def _connection(self) -> str:
        return self._random.choice(_CONNECTIONS)

    def _id(self) -> str:
        """Mostly the id of a recent put."""
        latest = max(1, self._puts)
        lowest = 1 if self._random.random() < 0.3 else max(1, latest - 4)
        return f"{{{self._random.randint(lowest, latest)}}}"

    def _priority(self) -> int:
        return self._random.choice(_PRIORITIES)

    def _delay(self) -> int:
        return self._random.choice(_DELAYS)

    def _ttr(self) -> int:
        return self._random.choice(_TTRS)


def _ends_on_edge(line: str) -> bool:
    """Whether the CR of a too long line is the last byte of a block, and its LF is not."""
    length = len(encode(line, 0)) + len(b"\r\n")
    return length > MAX_LINE_BYTES and length % MAX_LINE_BYTES == 1
