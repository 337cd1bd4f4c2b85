"""The settings of a server, checked: what a command line says, and what it means.

Both commands, `beanrow serve` and `beanrowd`, collect what was typed in `Options`; `Config` is
what a server is run from. Every error names the option, what was typed, and what to type instead.
"""

import re
import socket
from dataclasses import dataclass
from enum import StrEnum

from beanrow.protocol.limits import (
    DEFAULT_MAX_JOB_BYTES,
    DEFAULT_PORT,
    DEFAULT_SEGMENT_BYTES,
    MAX_JOB_BYTES,
)
from beanrow.server.errors import ConfigError, ListenError

_MAX_PORT = 65535


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A command line, still as it was typed; None and () stand for an option left out."""

    listen: tuple[str, ...]
    port: str | None = None
    user: str | None = None
    max_job_size: str | None = None
    verbosity: int = 0
    log_format: str | None = None
    journal: str | None = None
    fsync_interval: str | None = None
    never_fsync: bool = False
    segment_size: str | None = None
    #: Options that beanstalkd once had, as in "-c".
    obsolete: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a server has to be told."""

    #: Host names, IPv4 and IPv6 addresses, and unix:PATH.
    listen: tuple[str, ...] = ("127.0.0.1",)
    #: For every address that is no unix:PATH; 0 lets the system choose.
    port: int = DEFAULT_PORT
    #: Whom to become once the sockets are open.
    user: str | None = None
    max_job_bytes: int = DEFAULT_MAX_JOB_BYTES
    #: Without a journal, only a figure in the stats document.
    segment_bytes: int = DEFAULT_SEGMENT_BYTES
    #: 0 tells of the server, 1 of connections too.
    verbosity: int = 0
    log_format: LogFormat = LogFormat.TEXT
    #: What the server should say of its own settings when it starts.
    notes: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, options: Options) -> "Config":
        """Check a command line. Raises a `StartError` for the first thing that is wrong."""
        if options.journal is not None:
            raise ConfigError(
                f"-b {options.journal}: this version keeps jobs in memory only and has no journal "
                "yet; start it without -b"
            )
        max_job_bytes, notes = _max_job_bytes(options.max_job_size)
        return cls(
            listen=tuple(_listen_address(address) for address in options.listen),
            port=_port(options.port),
            user=_user(options.user),
            max_job_bytes=max_job_bytes,
            segment_bytes=_segment_bytes(options.segment_size),
            verbosity=options.verbosity,
            log_format=_log_format(options.log_format),
            notes=(*notes, *_journal_notes(options), *map(_obsolete_note, options.obsolete)),
        )


def _listen_address(address: str) -> str:
    if address in ("", "unix:"):
        raise ConfigError(
            f"-l {address!r}: names nothing to listen on; "
            "give an address such as 127.0.0.1, ::1 or unix:/run/beanrow.sock"
        )
    return address


def _port(text: str | None) -> int:
    """A number, or the name of a TCP service that this machine knows.

    Another one is the error that beanstalkd makes of it: nothing that can be listened on.
    """
    if text is None:
        return DEFAULT_PORT
    if _is_whole_number(text):
        if int(text) > _MAX_PORT:
            raise ListenError(f"-p {text}: there is no such port; give one from 0 to {_MAX_PORT}")
        return int(text)
    try:
        return socket.getservbyname(text, "tcp")
    except (OSError, UnicodeError):
        raise ListenError(
            f"-p {text!r}: neither a port number nor a known service; "
            f"give a number, for example -p {DEFAULT_PORT}"
        ) from None


def _user(name: str | None) -> str | None:
    if name == "":
        raise ConfigError("-u '': names no user; give the name of one, for example -u nobody")
    return name


def _max_job_bytes(text: str | None) -> tuple[int, tuple[str, ...]]:
    """As beanstalkd does, a size beyond the largest one becomes that one, with a word about it."""
    if text is None:
        return DEFAULT_MAX_JOB_BYTES, ()
    wanted = _number("-z", text, "the largest job, in bytes", DEFAULT_MAX_JOB_BYTES)
    if wanted > MAX_JOB_BYTES:
        return MAX_JOB_BYTES, (f"-z {text}: maximum job size was set to {MAX_JOB_BYTES}",)
    return wanted, ()


def _segment_bytes(text: str | None) -> int:
    if text is None:
        return DEFAULT_SEGMENT_BYTES
    return _number("-s", text, "the size of a journal file, in bytes", DEFAULT_SEGMENT_BYTES)


def _log_format(text: str | None) -> LogFormat:
    if text is None:
        return LogFormat.TEXT
    try:
        return LogFormat(text)
    except ValueError:
        known = " or ".join(LogFormat)
        raise ConfigError(f"--log-format {text!r}: unknown; give {known}") from None


def _journal_notes(options: Options) -> tuple[str, ...]:
    """What would shape a journal must be right, though it changes nothing without one."""
    given = []
    if options.fsync_interval is not None:
        _number("-f", options.fsync_interval, "the time between two fsyncs, in milliseconds", 50)
        given.append("-f")
    if options.never_fsync:
        given.append("-F")
    if options.segment_size is not None:
        given.append("-s")
    return tuple(f"{flag} has no effect without -b" for flag in given)


def _obsolete_note(flag: str) -> str:
    return f"{flag} is ignored, as beanstalkd does; leave it out"


def _number(flag: str, text: str, meaning: str, example: int) -> int:
    if not _is_whole_number(text):
        raise ConfigError(
            f"{flag} {text!r}: not a whole number; give {meaning}, for example {flag} {example}"
        )
    return int(text)


def _is_whole_number(text: str) -> bool:
    # Bounded, because Python refuses to convert thousands of digits.
    return re.fullmatch(r"[0-9]{1,20}", text) is not None
