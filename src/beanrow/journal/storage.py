"""The directory of a journal: what it asks of a file system, and nothing else of it.

All that can fail on a disk fails here, with `OSError`. The tests put another storage in its place
which fails on purpose and forgets what was never synced.
"""

from __future__ import annotations

import errno
import fcntl
import os
from abc import ABC, abstractmethod
from contextlib import suppress
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
        if not os.fstat(self._fd).st_nlink:
            # Somebody has removed it: what was written to it is nowhere.
            raise FileNotFoundError(errno.ENOENT, "the file was removed")

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
        try:
            self._lock = self._open("lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise JournalError(
                f"it cannot be written ({error.strerror}); give a directory that this user may "
                "write"
            ) from error
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise JournalError(
                    f"it cannot be locked ({error.strerror}); give a directory on a file system "
                    "with locks"
                ) from error
            raise JournalError(
                "another server uses it; stop that one, or give another directory"
            ) from error

    # All names are looked up in the directory that was opened, wherever it is moved to: another one
    # may have its path by then.

    def names(self) -> list[str]:
        # By a descriptor of its own: one that threads share has one place in the list for all.
        directory = self._open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(directory) as entries:
                return sorted(entry.name for entry in entries if entry.is_file())
        finally:
            os.close(directory)

    def size(self, name: str) -> int:
        return os.stat(name, dir_fd=self._directory).st_size

    def read(self, name: str) -> bytes:
        with os.fdopen(self._open(name, os.O_RDONLY), "rb") as file:
            return file.read()

    def create(self, name: str) -> File:
        return LocalFile(self._open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL))

    def open(self, name: str) -> File:
        return LocalFile(self._open(name, os.O_RDWR))

    def rename(self, name: str, new_name: str) -> None:
        folder, _, new = new_name.rpartition("/")
        to = self._open_folder(folder) if folder else self._directory
        try:
            if _exists(new, to):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new_name)
            os.rename(name, new, src_dir_fd=self._directory, dst_dir_fd=to)
            if folder:
                os.fsync(to)
        finally:
            if folder:
                os.close(to)

    def remove(self, name: str) -> None:
        os.unlink(name, dir_fd=self._directory)

    def _open(self, name: str, flags: int) -> int:
        return os.open(name, flags | os.O_CLOEXEC, _FILE_MODE, dir_fd=self._directory)

    def _open_folder(self, name: str) -> int:
        with suppress(FileExistsError):
            os.mkdir(name, _DIRECTORY_MODE, dir_fd=self._directory)
            os.fsync(self._directory)
        return self._open(name, os.O_RDONLY | os.O_DIRECTORY)

    def sync(self) -> None:
        os.fsync(self._directory)

    def close(self) -> None:
        os.close(self._directory)
        if self._lock >= 0:
            os.close(self._lock)


def _exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


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
