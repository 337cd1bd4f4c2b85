"""The directory of a journal: what it asks of a file system, and nothing else of it.

All that can fail on a disk fails here, with `OSError`. The tests put another storage in its place
which fails on purpose and forgets what was never synced.
"""

from __future__ import annotations

import errno
import fcntl
import os
from abc import ABC, abstractmethod
from pathlib import Path

from beanrow.journal.errors import JournalError

_DIRECTORY_MODE = 0o700
_FILE_MODE = 0o600


class File(ABC):
    """An open file. Nothing written is durable before `sync`."""

    @abstractmethod
    def write(self, data: bytes, offset: int) -> int:
        """Write at a place; returns how many bytes were written, which may be fewer."""

    @abstractmethod
    def allocate(self, size: int) -> None:
        """Make the file so long at least, with room on the disk for every byte of it."""

    @abstractmethod
    def truncate(self, size: int) -> None:
        """Cut the file; what was allocated beyond is free again."""

    @abstractmethod
    def sync(self) -> None:
        """Return when all that was written will survive a loss of power. Safe in any thread."""

    @abstractmethod
    def close(self) -> None: ...


class Storage(ABC):
    """A directory, the files in it, and those in directories below it that were set aside."""

    @abstractmethod
    def lock(self) -> None:
        """Keep others out until `close`. Raises `JournalError` when somebody else is in."""

    @abstractmethod
    def names(self) -> list[str]:
        """The files of the directory itself, sorted."""

    @abstractmethod
    def size(self, name: str) -> int: ...

    @abstractmethod
    def read(self, name: str) -> bytes: ...

    @abstractmethod
    def create(self, name: str) -> File:
        """Make a file, which must not exist, and open it."""

    @abstractmethod
    def open(self, name: str) -> File: ...

    @abstractmethod
    def rename(self, name: str, new_name: str) -> None:
        """``new_name`` is nobody's yet. It may be in a directory, which is made."""

    @abstractmethod
    def remove(self, name: str) -> None: ...

    @abstractmethod
    def sync(self) -> None:
        """Return when all names made, changed and removed so far will survive a loss of power."""

    @abstractmethod
    def close(self) -> None: ...


class LocalFile(File):
    """A file of the operating system."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes, offset: int) -> int:
        return os.pwrite(self._fd, data, offset)

    def allocate(self, size: int) -> None:
        os.posix_fallocate(self._fd, 0, size)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


class LocalStorage(Storage):
    """A directory of the operating system, for its owner only.

    Raises `JournalError` when it cannot be made, read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            _make(path)
            self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise JournalError(
                f"{error.strerror}; give a directory that this user may write"
            ) from error
        self._lock = -1

    def lock(self) -> None:
        # beanstalkd takes the same lock in the same way: neither starts where the other runs.
        path = self.path / "lock"
        try:
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        except OSError as error:
            raise JournalError(
                f"it cannot be written ({error.strerror}); give a directory that this user may "
                "write"
            ) from error
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise JournalError(
                "another server uses it; stop that one, or give another directory"
            ) from error

    def names(self) -> list[str]:
        return sorted(entry.name for entry in os.scandir(self.path) if entry.is_file())

    def size(self, name: str) -> int:
        return (self.path / name).stat().st_size

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def create(self, name: str) -> File:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return LocalFile(os.open(self.path / name, flags, _FILE_MODE))

    def open(self, name: str) -> File:
        return LocalFile(os.open(self.path / name, os.O_RDWR | os.O_CLOEXEC))

    def rename(self, name: str, new_name: str) -> None:
        new = self.path / new_name
        _make(new.parent)
        if new.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
        (self.path / name).rename(new)
        if new.parent != self.path:
            _sync_directory(new.parent)

    def remove(self, name: str) -> None:
        (self.path / name).unlink()

    def sync(self) -> None:
        os.fsync(self._directory)

    def close(self) -> None:
        os.close(self._directory)
        if self._lock >= 0:
            os.close(self._lock)


def _make(path: Path) -> None:
    """Make a directory, and those above it, so that they survive a loss of power."""
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    if not path.is_dir():
        _make(path.parent)
        path.mkdir(mode=_DIRECTORY_MODE)
        _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
