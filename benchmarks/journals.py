"""Where the servers keep their journals while they are measured, and how fast that disk is."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.load import BUILD_FOLDER

#: About as long as the record of a job of 100 bytes.
APPEND_BYTES = 170
#: Both servers allocate their segments ahead, of this size if they are not told otherwise.
SEGMENT_BYTES = 10 * 1024 * 1024
SYNC_SECONDS = 1.0
IN_MEMORY = ("tmpfs", "ramfs")


@dataclass(frozen=True)
class Journals:
    """Makes and removes the journals of servers that are measured, in one directory."""

    parent: Path = BUILD_FOLDER

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A directory that does not exist before and after."""
        try:
            self.parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="journal-", dir=self.parent))
        except OSError as error:
            raise BenchmarkError(f"no journal can be kept in {self.parent}: {error}") from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    @contextmanager
    def options(self, policy: str | None) -> Iterator[tuple[str, ...]]:
        """What a server has to be told for a fresh journal; nothing if there is to be none."""
        if policy is None:
            yield ()
            return
        with self.folder() as folder:
            os.sync()  # what others have written should not be written out during the run
            yield ("-b", str(folder), *policy.split())

    def describe(self) -> dict[str, str]:
        """The facts about the disk that bear on the numbers."""
        with self.folder() as folder:
            return {
                "file_system": _file_system(folder),
                "syncs_per_s": f"{_syncs_per_s(folder):.0f}",
            }


def _file_system(path: Path) -> str:
    """The type of the file system that holds a path, of the mount that lies nearest above it."""
    best, kind = "", "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        mount, its_kind = line.split()[1:3]
        if path.resolve().is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, its_kind
    return kind


def _syncs_per_s(folder: Path) -> float:
    """How often a second the disk can do what one put alone asks of it: append, then sync."""
    file = os.open(folder / "syncs", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(file, 0, SEGMENT_BYTES)
        os.fsync(file)
        data = os.urandom(APPEND_BYTES)
        started_s = time.monotonic()
        done = 0
        while (passed_s := time.monotonic() - started_s) < SYNC_SECONDS:
            os.pwrite(file, data, done * APPEND_BYTES % (SEGMENT_BYTES - APPEND_BYTES))
            os.fdatasync(file)
            done += 1
        return done / passed_s
    finally:
        os.close(file)
