"""The verb table: what a client may say, and in what form.

beanstalkd compares the beginning of a line with each word, so a word stands here as it must
begin a line: with its space where an argument must follow, without one where the line must
end (or where beanstalkd does not look, as after ``quit``). Numbers are decimal digits without
a sign, in any number of spaces; a tube name is taken as it stands.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Final

from beanrow.protocol.limits import MAX_U32, MAX_U64, TUBE_NAME, TUBE_NAME_BYTES
from beanrow.protocol.replies import BAD_FORMAT, UNKNOWN_COMMAND
from beanrow.protocol.scanning import read_decimal

PUT: Final = 0
PEEK: Final = 1
PEEK_READY: Final = 2
PEEK_DELAYED: Final = 3
PEEK_BURIED: Final = 4
RESERVE: Final = 5
RESERVE_WITH_TIMEOUT: Final = 6
RESERVE_JOB: Final = 7
DELETE: Final = 8
RELEASE: Final = 9
BURY: Final = 10
KICK: Final = 11
KICK_JOB: Final = 12
TOUCH: Final = 13
STATS: Final = 14
STATS_JOB: Final = 15
STATS_TUBE: Final = 16
USE: Final = 17
WATCH: Final = 18
IGNORE: Final = 19
LIST_TUBES: Final = 20
LIST_TUBE_USED: Final = 21
LIST_TUBES_WATCHED: Final = 22
PAUSE_TUBE: Final = 23
QUIT: Final = 24

#: Not a verb: a line or body that is answered with an error and does nothing.
REFUSED: Final = 25

VERB_COUNT: Final = 26

#: In place of a verb's code: counts as none.
UNCOUNTED: Final = VERB_COUNT


class Command:
    """What a client asks: a verb code and its arguments; those it does not have are 0 or empty.

    `number` is the id, or the bound of a kick, or the seconds of a reserve-with-timeout or a
    pause, or the size of a put's body. `error` is what to answer instead of executing it.
    `counts_as` is the verb that is counted as used: its own, or for `REFUSED` mostly `UNCOUNTED`.
    """

    __slots__ = (
        "body",
        "counts_as",
        "delay_s",
        "error",
        "number",
        "pri",
        "ttr_s",
        "tube",
        "verb",
    )

    def __init__(
        self,
        verb: int,
        number: int = 0,
        pri: int = 0,
        delay_s: int = 0,
        ttr_s: int = 0,
        tube: bytes = b"",
        error: bytes = b"",
    ) -> None:
        self.verb = verb
        self.number = number
        self.pri = pri
        self.delay_s = delay_s
        self.ttr_s = ttr_s
        self.tube = tube
        self.body = b""
        self.error = error
        self.counts_as = verb


def refused(error: bytes, counts_as: int = UNCOUNTED) -> Command:
    """Make a command that only answers an error."""
    command = Command(REFUSED, error=error)
    command.counts_as = counts_as
    return command


# --- the forms of what follows a word ---------------------------------------------------------

_NUMBER = rb" *([0-9]+)"
_TWO_NUMBERS: Final = re.compile(_NUMBER + b" " + _NUMBER)
_THREE_NUMBERS: Final = re.compile(b" ".join([_NUMBER] * 3))
_FOUR_NUMBERS: Final = re.compile(b" ".join([_NUMBER] * 4) + b"(.*)", re.DOTALL)
_NAME_AND_NUMBER: Final = re.compile(b" *(%b+) " % TUBE_NAME_BYTES + _NUMBER)
_LAX_NUMBER: Final = re.compile(rb"[ \t\n\v\f\r]*([+-]?[0-9]+)")


class Verb(ABC):
    """One row of the table: a word and its code; a subclass knows the form of what follows."""

    __slots__ = ("code", "word")

    def __init__(self, word: bytes, code: int) -> None:
        self.word = word
        self.code = code

    @abstractmethod
    def read(self, text: bytes) -> Command:
        """Make the command of the rest of a line."""


class _Alone(Verb):
    """Nothing follows."""

    def read(self, text: bytes) -> Command:
        return refused(BAD_FORMAT) if text else Command(self.code)


class _Anything(Verb):
    """Whatever follows does not matter."""

    def read(self, text: bytes) -> Command:
        return Command(self.code)


class _Id(Verb):
    """The id of a job."""

    def read(self, text: bytes) -> Command:
        return _one_number(self.code, text, MAX_U64)


class _Seconds(Verb):
    def read(self, text: bytes) -> Command:
        return _one_number(self.code, text, MAX_U32)


class _IdPri(Verb):
    def read(self, text: bytes) -> Command:
        match = _TWO_NUMBERS.fullmatch(text)
        if match is not None:
            job_id, pri = int(match[1]), int(match[2])
            if job_id <= MAX_U64 and pri <= MAX_U32:
                return Command(self.code, job_id, pri)
        return refused(BAD_FORMAT)


class _IdPriDelay(Verb):
    def read(self, text: bytes) -> Command:
        match = _THREE_NUMBERS.fullmatch(text)
        if match is not None:
            job_id, pri, delay_s = int(match[1]), int(match[2]), int(match[3])
            if job_id <= MAX_U64 and pri <= MAX_U32 and delay_s <= MAX_U32:
                return Command(self.code, job_id, pri, delay_s)
        return refused(BAD_FORMAT)


class _Bound(Verb):
    """The bound of a kick is read as C's strtoul does and cut to 32 bits: beanstalkd takes
    a sign, any white space before it, and does not look at what comes after it."""

    def read(self, text: bytes) -> Command:
        match = _LAX_NUMBER.match(text)
        if match is not None:
            number = int(match[1])
            if abs(number) <= MAX_U64:
                return Command(self.code, number & MAX_U32)
        return refused(BAD_FORMAT)


class _Tube(Verb):
    def read(self, text: bytes) -> Command:
        if TUBE_NAME.fullmatch(text):
            return Command(self.code, tube=text)
        return refused(BAD_FORMAT)


class _TubeSeconds(Verb):
    def read(self, text: bytes) -> Command:
        match = _NAME_AND_NUMBER.fullmatch(text)
        if match is None or int(match[2]) > MAX_U32:
            return refused(BAD_FORMAT)
        if not TUBE_NAME.fullmatch(match[1]):
            return refused(BAD_FORMAT, counts_as=self.code)
        return Command(self.code, int(match[2]), tube=match[1])


class _Put(Verb):
    """JOB_TOO_BIG comes before the BAD_FORMAT of text behind the numbers, because then the body
    has to be skipped. The parser decides, which knows the limit."""

    def read(self, text: bytes) -> Command:
        numbers = _put_numbers.get(text)
        if numbers is None:
            numbers = _read_put_numbers(text)
            if numbers is None:
                return refused(BAD_FORMAT)
        pri, delay_s, ttr_s, size, rest = numbers
        return Command(self.code, size, pri, delay_s, ttr_s, b"", BAD_FORMAT if rest else b"")


def _one_number(verb: int, text: bytes, largest: int) -> Command:
    number = read_decimal(text)
    if number < 0:
        number = read_decimal(text.lstrip(b" "))
    return Command(verb, number) if 0 <= number <= largest else refused(BAD_FORMAT)


#: Producers repeat themselves: same priority, delay and ttr, and bodies of much the same size. To
#: read the four numbers is the dearest part of a put; a line that has come before is known.
_put_numbers: dict[bytes, tuple[int, int, int, int, bytes]] = {}
_MAX_PUT_NUMBERS: Final = 1024


def _read_put_numbers(text: bytes) -> tuple[int, int, int, int, bytes] | None:
    match = _FOUR_NUMBERS.fullmatch(text)
    if match is None:
        return None
    digits = match.groups()
    pri, delay_s, ttr_s, size = int(digits[0]), int(digits[1]), int(digits[2]), int(digits[3])
    # One comparison for all four: no bit of any of them lies beyond the 32.
    if (pri | delay_s | ttr_s | size) > MAX_U32:
        return None
    if len(_put_numbers) >= _MAX_PUT_NUMBERS:
        _put_numbers.clear()
    _put_numbers[text] = numbers = (pri, delay_s, ttr_s, size, digits[4])
    return numbers


#: The words in the order in which a line is compared with them: those that a queue lives on come
#: first, and a word that begins another one comes after it.
VERBS: Final[tuple[Verb, ...]] = (
    _Put(b"put ", PUT),
    _Id(b"delete ", DELETE),
    _Seconds(b"reserve-with-timeout ", RESERVE_WITH_TIMEOUT),
    _Id(b"reserve-job ", RESERVE_JOB),
    _Alone(b"reserve", RESERVE),
    _IdPriDelay(b"release ", RELEASE),
    _Id(b"touch ", TOUCH),
    _IdPri(b"bury ", BURY),
    _Tube(b"use ", USE),
    _Tube(b"watch ", WATCH),
    _Tube(b"ignore ", IGNORE),
    _Id(b"peek ", PEEK),
    _Alone(b"peek-ready", PEEK_READY),
    _Alone(b"peek-delayed", PEEK_DELAYED),
    _Alone(b"peek-buried", PEEK_BURIED),
    _Bound(b"kick ", KICK),
    _Id(b"kick-job ", KICK_JOB),
    _Id(b"stats-job ", STATS_JOB),
    _Tube(b"stats-tube ", STATS_TUBE),
    _Alone(b"stats", STATS),
    _Alone(b"list-tubes-watched", LIST_TUBES_WATCHED),
    _Alone(b"list-tube-used", LIST_TUBE_USED),
    _Alone(b"list-tubes", LIST_TUBES),
    _Anything(b"quit", QUIT),
    _TubeSeconds(b"pause-tube", PAUSE_TUBE),
)

#: Lines that are a word alone: all of one kind are alike, so one command serves for all.
_WORDS_ALONE: Final = {verb.word: verb.read(b"") for verb in VERBS if isinstance(verb, _Alone)}


def read_line(line: bytes) -> Command:
    """Make the command that a line, without its CRLF, asks for: `REFUSED` if anything is wrong."""
    command = _WORDS_ALONE.get(line)
    if command is not None:
        return command
    if 0 in line:
        return refused(BAD_FORMAT)
    for verb in VERBS:
        if line.startswith(verb.word):
            return verb.read(line[len(verb.word) :])
    return refused(UNKNOWN_COMMAND)
