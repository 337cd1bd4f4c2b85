"""Where log lines go and how they look: standard `logging`, under the name "beanrow".

A line is written to stderr in one system call (a longer one, with a traceback, in some) and nothing
is buffered, so lines do not mix, the last ones of a process are not lost, and a signal handler may
log in the middle of another line's making. Times are UTC.

A server does not wait for whoever reads its log. A line that a full pipe has no room for is
dropped, and when there is room again a line says how many were. Once nobody reads them any more,
or the disk is full, lines are lost: that is no reason to end a server, or to end it with another
status.
"""

import json
import logging
import os
import select
import sys
from datetime import UTC, datetime

from beanrow.server.config import LogFormat

#: What every record has; anything beyond was given as `extra=` and is data of its own.
_USUAL_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def configure(log_format: LogFormat, verbosity: int) -> None:
    """Send what beanrow logs to stderr. Verbosity 0 is info, more is debug."""
    handler = _StderrHandler()
    handler.setFormatter(JSONFormatter() if log_format is LogFormat.JSON else TextFormatter())
    logger = logging.getLogger("beanrow")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.DEBUG if verbosity else logging.INFO)


class TextFormatter(logging.Formatter):
    """2030-01-31T12:00:00.123Z warning  the message."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_time(record)} {record.levelname.lower():<8} {record.getMessage()}"
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        return line


class JSONFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, and what came as `extra=`."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        document |= {k: v for k, v in vars(record).items() if k not in _USUAL_ATTRIBUTES}
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, default=str)


class _StderrHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self._dropped = 0
        self._torn = False  # whether what was written last lacks its end

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001
            # As every handler of the standard library: no logging may end the server.
            self.handleError(record)
            return
        if sys.stderr is None:  # it was closed before the start
            return
        try:
            if not (self._tell_of_dropped() and self._write(line)):
                self._dropped += 1
        except OSError:
            # Where else to say it? `handleError` would leave its words in the buffer of stderr,
            # and as Python cannot write them at exit either, it would change the exit status.
            return

    def _tell_of_dropped(self) -> bool:
        """Whether there is nothing left to tell about dropped lines."""
        if not self._dropped:
            return True
        told = logging.makeLogRecord(
            {
                "name": "beanrow.server",
                "levelno": logging.WARNING,
                "levelname": "WARNING",
                "msg": "lines missing here, because nobody read the log: %d",
                "args": (self._dropped,),
                "missing_lines": self._dropped,
            }
        )
        if not self._write(self.format(told)):
            return False
        self._dropped = 0
        return True

    def _write(self, line: str) -> bool:
        """Write a line without waiting; tells whether all of it was written."""
        begin = "\n" if self._torn else ""
        data = rest = f"{begin}{line}\n".encode(errors="backslashreplace")
        fd = sys.stderr.fileno()
        room = select.poll()
        room.register(fd, select.POLLOUT)
        # What is ready to be written to takes this much at once, but perhaps not more.
        while rest and room.poll(0):
            rest = rest[os.write(fd, rest[: select.PIPE_BUF]) :]
        if len(rest) < len(data):
            self._torn = bool(rest)
        return not rest


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
