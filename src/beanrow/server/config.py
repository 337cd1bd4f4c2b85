"""The settings of a server, checked: what a command line says, and what it means.

Both commands, `beanrow serve` and `beanrowd`, collect what was typed in `Options`; `Config` is
what a server is run from. Every error names the option, what was typed, and what to type instead.
"""

import re
import socket
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from beanrow.protocol.limits import (
    DEFAULT_MAX_JOB_BYTES,
    DEFAULT_PORT,
    DEFAULT_SEGMENT_BYTES,
    MAX_JOB_BYTES,
)
from beanrow.server.errors import ConfigError, ListenError

_MAX_PORT = 65535

#: beanstalkd's, for -f.
DEFAULT_SYNC_INTERVAL_MS: Final = 50
#: Seven weeks, and a segment of 1 TiB: whoever wants more has mistyped.
_MAX_SYNC_INTERVAL_MS: Final = (1 << 32) - 1
_MAX_SEGMENT_BYTES: Final = 1 << 40


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
    #: The values of every -f, and None for every -F, in order: the last one counts.
    fsync: tuple[str | None, ...] = ()
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
    #: The directory that every change is kept in; None: jobs are in memory only.
    journal: Path | None = None
    #: How much may be lost in a loss of power: nothing with 0, so many milliseconds, or, with
    #: None, whatever the system has not written by itself. Without a journal it has no effect.
    sync_interval_ms: int | None = DEFAULT_SYNC_INTERVAL_MS
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
        max_job_bytes, notes = _max_job_bytes(options.max_job_size)
        return cls(
            listen=tuple(_listen_address(address) for address in options.listen),
            port=_port(options.port),
            user=_user(options.user),
            max_job_bytes=max_job_bytes,
            journal=_journal(options.journal),
            sync_interval_ms=_sync_interval_ms(options.fsync),
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


def _journal(text: str | None) -> Path | None:
    if text is None:
        return None
    if not text or "\0" in text:
        raise ConfigError(f"-b {text!r}: names no directory; give the path of one")
    return Path(text)


def _sync_interval_ms(typed: tuple[str | None, ...]) -> int | None:
    """What the last -f or -F says, as with beanstalkd; those before it must be right as well."""
    interval_ms: int | None = DEFAULT_SYNC_INTERVAL_MS
    for text in typed:
        interval_ms = None if text is None else _milliseconds(text)
    return interval_ms


def _milliseconds(text: str) -> int:
    interval_ms = _number("-f", text, "the time between two syncs, in milliseconds", 50)
    if interval_ms > _MAX_SYNC_INTERVAL_MS:
        raise ConfigError(
            f"-f {text}: too long; give at most {_MAX_SYNC_INTERVAL_MS} milliseconds, or -F"
        )
    return interval_ms


def _segment_bytes(text: str | None) -> int:
    if text is None:
        return DEFAULT_SEGMENT_BYTES
    size = _number("-s", text, "the size of a journal file, in bytes", DEFAULT_SEGMENT_BYTES)
    if size > _MAX_SEGMENT_BYTES:
        raise ConfigError(f"-s {text}: too large; give at most {_MAX_SEGMENT_BYTES} bytes")
    return size


def _log_format(text: str | None) -> LogFormat:
    if text is None:
        return LogFormat.TEXT
    try:
        return LogFormat(text)
    except ValueError:
        known = " or ".join(LogFormat)
        raise ConfigError(f"--log-format {text!r}: unknown; give {known}") from None


def _journal_notes(options: Options) -> tuple[str, ...]:
    """What would shape a journal is useless without one."""
    if options.journal is not None:
        return ()
    given = []
    if any(text is not None for text in options.fsync):
        given.append("-f")
    if None in options.fsync:
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
