"""The client's mouth: one function for each command, from checked arguments to a `Request`.

A `Request` is a complete exchange without the input and output: the bytes to send, and for each
word that may be hoped for, how to make the result of it. A client of any kind does no more than

    send request.encode(); read a response; return request.result(response)

Arguments that the server would refuse are refused here, before anything is sent: the line of a
put is followed by its body, and a server that rejects the line would go on to read the body as
commands.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from beanrow.errors import InvalidArgument, ProtocolError
from beanrow.protocol.documents import parse_list, parse_mapping
from beanrow.protocol.limits import CRLF, MAX_TUBE_NAME_BYTES, MAX_U32, MAX_U64, TUBE_NAME
from beanrow.protocol.responses import Response

#: What clients say when their user does not: the middle of the priorities, and two minutes.
DEFAULT_PRIORITY: Final = 2**31
DEFAULT_TTR_S: Final = 120

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class JobFound(NamedTuple):
    """A job as RESERVED and FOUND replies carry it."""

    id: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Request(Generic[Result_co]):
    """One command on its way to the server, and what its answers mean."""

    #: The command line, without CRLF.
    line: str
    #: The words hoped for, with the function that makes the result from such a response.
    expected: Mapping[str, Callable[[Response], Result_co]]
    #: What follows the line; only put has it.
    body: bytes | None = None
    #: The job that the command is about, if it names one.
    job_id: int | None = None
    #: How long the server may wait for a job before it answers, in seconds; None: for ever.
    server_may_wait_s: int | None = 0

    def then(self, refine: Callable[[Result_co], Result]) -> "Request[Result]":
        """Make the same request, with what `refine` makes of the result as its result.

        If that raises ProtocolError, it is the reply that made no sense, as in `result`.
        """

        def refined(make_result: Callable[[Response], Result_co]) -> Callable[[Response], Result]:
            return lambda response: refine(make_result(response))

        expected = {word: refined(make_result) for word, make_result in self.expected.items()}
        return Request(self.line, expected, self.body, self.job_id, self.server_may_wait_s)

    def encode(self) -> bytes:
        """Make the bytes to send."""
        line = self.line.encode("ascii") + CRLF
        return line if self.body is None else b"%b%b\r\n" % (line, self.body)

    def result(self, response: Response) -> Result_co:
        """Turn the answer into the result of the command.

        Raises the ReplyError of the answer's word; or ProtocolError if this command cannot have
        such an answer, after which the connection must not be used any more.
        """
        make_result = self.expected.get(response.word)
        if make_result is not None:
            return make_result(response)
        if self.body is not None and response.word in ("BAD_FORMAT", "UNKNOWN_COMMAND"):
            raise ProtocolError(
                f"{self.line}: the server rejects the line with {response.word}, "
                "and may have read the body as commands"
            )
        raise response.error(self.line, self.job_id)


# Producers.


def put(
    body: bytes, priority: int = DEFAULT_PRIORITY, delay_s: int = 0, ttr_s: int = DEFAULT_TTR_S
) -> Request[int]:
    """Put a job into the tube in use; the result is its id."""
    line = (
        f"put {_u32('priority', priority)} {_u32('delay', delay_s)} {_u32('ttr', ttr_s)} "
        f"{_u32('length of the body', len(body))}"
    )
    return Request(line, {"INSERTED": _number}, body=body)


def use(tube: str) -> Request[str]:
    """Choose the tube to put into; the result is its name."""
    return Request(f"use {_tube(tube)}", {"USING": _name})


# Workers.


def reserve(timeout_s: int | None = None) -> Request[JobFound | None]:
    """Reserve the next job of the watched tubes; the result is None when none came in time.

    `timeout_s` None waits for ever.
    """
    expected = {"RESERVED": _job, "TIMED_OUT": _no_result}
    if timeout_s is None:
        return Request("reserve", expected, server_may_wait_s=None)
    line = f"reserve-with-timeout {_u32('timeout', timeout_s)}"
    return Request(line, expected, server_may_wait_s=timeout_s)


def reserve_job(job_id: int) -> Request[JobFound]:
    """Reserve this very job, be it ready, delayed or buried."""
    return _about_job("reserve-job", job_id, "RESERVED", _job)


def delete(job_id: int) -> Request[None]:
    """Remove a job: reserved by this client, ready, delayed or buried."""
    return _about_job("delete", job_id, "DELETED", _no_result)


def release(job_id: int, priority: int, delay_s: int = 0) -> Request[None]:
    """Give a reserved job back, to be ready again after the delay."""
    arguments = f"{_u32('priority', priority)} {_u32('delay', delay_s)}"
    return _about_job("release", job_id, "RELEASED", _no_result, arguments)


def bury(job_id: int, priority: int) -> Request[None]:
    """Put a reserved job aside until it is kicked."""
    return _about_job("bury", job_id, "BURIED", _no_result, _u32("priority", priority))


def touch(job_id: int) -> Request[None]:
    """Let the time to run of a reserved job begin anew."""
    return _about_job("touch", job_id, "TOUCHED", _no_result)


def watch(tube: str) -> Request[int]:
    """Reserve from this tube as well; the result is the number of watched tubes."""
    return Request(f"watch {_tube(tube)}", {"WATCHING": _number})


def ignore(tube: str) -> Request[int]:
    """Reserve from this tube no more; the result is the number of watched tubes."""
    return Request(f"ignore {_tube(tube)}", {"WATCHING": _number})


# Maintainers.


def peek(job_id: int) -> Request[JobFound | None]:
    """Look at a job in any state; the result is None when there is no such job."""
    return Request(f"peek {_id(job_id)}", _PEEK, job_id=job_id)


def peek_ready() -> Request[JobFound | None]:
    """Look at the next ready job of the tube in use, if there is one."""
    return Request("peek-ready", _PEEK)


def peek_delayed() -> Request[JobFound | None]:
    """Look at the job of the tube in use whose delay ends first, if there is one."""
    return Request("peek-delayed", _PEEK)


def peek_buried() -> Request[JobFound | None]:
    """Look at the job of the tube in use that was buried first, if there is one."""
    return Request("peek-buried", _PEEK)


def kick(bound: int) -> Request[int]:
    """Make at most `bound` jobs of the tube in use ready: the buried ones, or else the delayed.

    The result is how many there were.
    """
    return Request(f"kick {_u32('bound', bound)}", {"KICKED": _number})


def kick_job(job_id: int) -> Request[None]:
    """Make one buried or delayed job ready."""
    return _about_job("kick-job", job_id, "KICKED", _no_result)


def pause_tube(tube: str, delay_s: int) -> Request[None]:
    """Let no job of this tube be reserved for a while."""
    line = f"pause-tube {_tube(tube)} {_u32('delay', delay_s)}"
    return Request(line, {"PAUSED": _no_result})


def stats() -> Request[dict[str, str]]:
    """Ask for the numbers of the server."""
    return Request("stats", {"OK": _mapping})


def stats_tube(tube: str) -> Request[dict[str, str]]:
    """Ask for the numbers of a tube."""
    return Request(f"stats-tube {_tube(tube)}", {"OK": _mapping})


def stats_job(job_id: int) -> Request[dict[str, str]]:
    """Ask for the state and the numbers of a job."""
    return _about_job("stats-job", job_id, "OK", _mapping)


def list_tubes() -> Request[list[str]]:
    """Ask for the names of all tubes."""
    return Request("list-tubes", {"OK": _list})


def list_tube_used() -> Request[str]:
    """Ask which tube is in use."""
    return Request("list-tube-used", {"USING": _name})


def list_tubes_watched() -> Request[list[str]]:
    """Ask which tubes are watched."""
    return Request("list-tubes-watched", {"OK": _list})


def _about_job(
    verb: str,
    job_id: int,
    word: str,
    make_result: Callable[[Response], Result],
    arguments: str = "",
) -> Request[Result]:
    line = f"{verb} {_id(job_id)} {arguments}".rstrip()
    return Request(line, {word: make_result}, job_id=job_id)


# Checked arguments.


def _u32(name: str, value: int) -> str:
    return _whole_number(name, value, 0, MAX_U32)


def _id(value: int) -> str:
    return _whole_number("job id", value, 0, MAX_U64)


def _whole_number(name: str, value: object, low: int, high: int) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidArgument(f"{name}: {value!r} is not a whole number from {low} to {high}")
    return str(value)


def _tube(name: object) -> str:
    # Bytes and None come from untyped callers, and would be sent as the text of their repr.
    if not isinstance(name, str) or not TUBE_NAME.fullmatch(name.encode("utf-8", "replace")):
        raise InvalidArgument(
            f"tube name: {name!r} is not one of 1 to {MAX_TUBE_NAME_BYTES} ASCII letters, digits "
            "and characters of -+/;.$_() with no '-' in front"
        )
    return name


# Results from responses. What the form of a response guarantees is asserted, not handled.


def _no_result(response: Response) -> None:
    return None


def _number(response: Response) -> int:
    if response.number is None:
        raise ProtocolError(f"{response.word} without a number")
    return response.number


def _name(response: Response) -> str:
    assert response.name is not None
    return response.name


def _job(response: Response) -> JobFound:
    assert response.number is not None
    assert response.body is not None
    return JobFound(response.number, response.body)


def _mapping(response: Response) -> dict[str, str]:
    assert response.body is not None
    return parse_mapping(response.body)


def _list(response: Response) -> list[str]:
    assert response.body is not None
    return parse_list(response.body)


_PEEK: Final[Mapping[str, Callable[[Response], JobFound | None]]] = {
    "FOUND": _job,
    "NOT_FOUND": _no_result,
}
