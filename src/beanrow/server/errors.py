"""What keeps a server from starting: one class a cause, one line a message.

Each class has the exit status that beanstalkd ends with for the same cause. `beanrowd` ends with
it too, so that scripts which look at it keep working.
"""

from typing import ClassVar


class StartError(Exception):
    """The root: the server cannot start. Its text is for the person who tried to start it."""

    exit_status: ClassVar[int] = 1


class ConfigError(StartError):
    """An option, or its value, that cannot be used."""

    exit_status = 5


class UnusableJournalError(StartError):
    """A directory that cannot be written, that another server uses, or that holds no journal."""

    exit_status = 10


class UnknownUserError(StartError):
    """There is no user of that name."""

    exit_status = 33


class BecomeUserError(StartError):
    """The system does not allow this process to become that user."""

    exit_status = 34


class ListenError(StartError):
    """An address that cannot be listened on, or a handed-over socket that is of no use."""

    exit_status = 111
