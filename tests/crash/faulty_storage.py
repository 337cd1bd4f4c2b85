"""A directory in memory that fails when a plan says so, and forgets what was never synced.

A file has two contents: what was written (the cache, which a killed process leaves behind) and
what the disk has. Between the two lies, page by page, every version that the kernel may have
brought to the disk by itself. A sync makes both the same. When the power fails, each page comes
back in any one of its versions, the length of a file likewise, and any of the names made, changed
or removed since the last sync of the directory may be as it was before. So later pages may be
there and earlier ones not, and a name may lead to a file without contents.

A sync that fails leaves pages which the kernel takes for clean: they can still be read, no later
sync brings them to the disk, and only writing them anew does.

`Plan` says what goes wrong. It and the seed in it decide everything, so its `repr` is all that is
needed to see a failure again.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from beanrow.journal.errors import JournalError
from beanrow.journal.storage import File, Storage

PAGE_BYTES: Final = 512

#: More than any test writes.
ENDLESS_BYTES: Final = 1 << 60

#: The operations that a plan can count; "any" counts them all together.
OPERATIONS: Final = (
    *("write", "allocate", "truncate", "sync", "create", "open", "rename", "remove"),
    *("sync names", "any"),
)


class MachineStops(BaseException):
    """The end of the process, in the middle of whatever it does. Nothing may catch it."""


@dataclass(frozen=True)
class Plan:
    """What goes wrong, and when; operations are counted from 1."""

    #: The machine stops at this operation, which does not happen any more; 0: never.
    stop_at: int = 0
    #: If that is a write, this many of its bytes are still written.
    stop_after_bytes: int = 0
    #: Which operation fails with which errno: ("sync", 3) is the third sync.
    failures: Mapping[tuple[str, int], int] = field(default_factory=dict)
    #: Every n-th write takes only a part of what it is given; 0: none.
    short_write_every: int = 0
    #: How much the disk holds.
    disk_bytes: int = ENDLESS_BYTES
    #: For all that is left to chance.
    seed: int = 0


@dataclass(frozen=True)
class SyncMark:
    """How much of a file a sync covers that has begun."""

    size: int
    sizes: int
    versions: Mapping[int, int]
    syncs: int


class Inode:
    """A file, whatever its name."""

    __slots__ = ("cache", "disk", "opened", "sizes", "syncs", "versions")

    def __init__(self, content: bytes = b"") -> None:
        self.cache = bytearray(content)
        self.disk = bytes(content)
        #: What pages and length have been since the last sync, besides what the disk has.
        self.versions: dict[int, list[bytes]] = {}
        self.sizes: list[int] = []
        self.opened = 0
        #: How many syncs have ended.
        self.syncs = 0

    def write(self, data: bytes, offset: int) -> None:
        end = offset + len(data)
        if offset > len(self.cache):
            self.grow(offset)
        self.cache[offset:end] = data
        self._note_size()
        self._note_pages(offset, end)

    def grow(self, size: int) -> None:
        self.cache.extend(bytes(size - len(self.cache)))
        self._note_size()

    def cut(self, size: int) -> None:
        old_size = len(self.cache)
        del self.cache[size:]
        self._note_size()
        self._note_pages(size, old_size)

    def _note_size(self) -> None:
        if len(self.cache) != (self.sizes[-1] if self.sizes else len(self.disk)):
            self.sizes.append(len(self.cache))

    def _note_pages(self, start: int, end: int) -> None:
        for page in range(start // PAGE_BYTES, -(-end // PAGE_BYTES)):
            self.versions.setdefault(page, []).append(page_of(self.cache, page))

    @property
    def is_dirty(self) -> bool:
        return bool(self.versions or self.sizes)

    def begin_sync(self) -> SyncMark:
        """Note what there is to bring to the disk; what is written from now on, is not."""
        pages = {page: len(versions) for page, versions in self.versions.items()}
        return SyncMark(len(self.cache), len(self.sizes), pages, self.syncs)

    def end_sync(self, mark: SyncMark) -> None:
        """All that was noted is on the disk, but for pages that an earlier sync has lost."""
        if self.syncs != mark.syncs:
            return  # one that began later has ended before
        self.syncs += 1
        pages = {page: self.versions[page][count - 1] for page, count in mark.versions.items()}
        self.disk = self._image(mark.size, pages)
        del self.sizes[: mark.sizes]
        for page, count in mark.versions.items():
            del self.versions[page][:count]
            if not self.versions[page]:
                del self.versions[page]

    def fail_to_sync(self, chance: random.Random) -> None:
        """Some pages get to the disk, the others are lost, and none counts as dirty any more."""
        pages = {
            page: versions[-1] for page, versions in self.versions.items() if chance.random() < 0.5
        }
        self.disk = self._image(chance.choice([len(self.disk), len(self.cache)]), pages)
        self.versions.clear()
        self.sizes.clear()
        self._note_size()

    def after_power_loss(self, chance: random.Random) -> bytes:
        """What of it may be on the disk. Mostly a wild mixture; sometimes all, sometimes none."""
        manner = chance.choice(["wild", "wild", "wild", "all", "none"])
        if manner == "none":
            return self.disk
        if manner == "all":
            pages = {page: versions[-1] for page, versions in self.versions.items()}
            return self._image(len(self.cache), pages)
        size = chance.choice([len(self.disk), *self.sizes])
        pages = {
            page: chance.choice([page_of(self.disk, page), *versions])
            for page, versions in self.versions.items()
        }
        return self._image(size, pages)

    def _image(self, size: int, pages: Mapping[int, bytes]) -> bytes:
        image = bytearray(self.disk)
        for page, content in sorted(pages.items()):
            start = page * PAGE_BYTES
            if len(image) < start + PAGE_BYTES:
                image.extend(bytes(start + PAGE_BYTES - len(image)))
            image[start : start + PAGE_BYTES] = content
        if len(image) < size:
            image.extend(bytes(size - len(image)))
        return bytes(image[:size])


def page_of(content: bytes | bytearray, page: int) -> bytes:
    """A page, filled with zeros where the content ends within it or before."""
    return bytes(content[page * PAGE_BYTES : (page + 1) * PAGE_BYTES]).ljust(PAGE_BYTES, b"\0")


@dataclass(frozen=True)
class NameChange:
    """A name that goes (`old`), one that comes (`new`), and the file that it leads to."""

    old: str
    new: str
    inode: Inode

    def names(self) -> set[str]:
        return {self.old, self.new} - {""}

    def apply(self, names: dict[str, Inode]) -> None:
        names.pop(self.old, None)
        if self.new:
            names[self.new] = self.inode


class Directory:
    """Names and files: what a killed process leaves behind."""

    def __init__(self) -> None:
        self.names: dict[str, Inode] = {}
        self._on_disk: dict[str, Inode] = {}
        self._changes: list[NameChange] = []
        #: Files that have lost their name and are still open take room too.
        self._nameless: list[Inode] = []
        self.is_locked = False
        #: A sync has failed: nobody can know any more what the disk has.
        self.has_lost_pages = False

    def change(self, change: NameChange) -> None:
        for gone in (self.names.get(change.old), self.names.get(change.new)):
            if gone is not None and gone is not change.inode:
                self._nameless.append(gone)
        change.apply(self.names)
        if not change.new:
            self._nameless.append(change.inode)
        self._changes.append(change)

    def used_bytes(self) -> int:
        self._nameless = [inode for inode in self._nameless if inode.opened]
        return sum(len(inode.cache) for inode in (*self.names.values(), *self._nameless))

    def is_clean(self) -> bool:
        """Whether a loss of power would change nothing in any segment."""
        segments = [inode for name, inode in self.names.items() if name.startswith("segment")]
        is_dirty = bool(self._changes) or any(inode.is_dirty for inode in segments)
        return not is_dirty and not self.has_lost_pages

    def sync(self) -> None:
        self._on_disk = dict(self.names)
        self._changes.clear()

    def after_power_loss(self, chance: random.Random) -> Directory:
        names = dict(self._on_disk)
        keep = chance.choice([0.0, 0.5, 1.0])
        lost: set[str] = set()
        for change in self._changes:
            # What happened to a name later needs what happened to it before.
            if lost.isdisjoint(change.names()) and chance.random() < keep:
                change.apply(names)
            else:
                lost |= change.names()
        after = Directory()
        inodes = {id(inode): Inode(inode.after_power_loss(chance)) for inode in names.values()}
        after.names = {name: inodes[id(inode)] for name, inode in names.items()}
        after._on_disk = dict(after.names)
        return after


class FaultyStorage(Storage):
    """A journal's storage on such a directory, for as long as the machine runs.

    One thread may use it at a time.
    """

    def __init__(self, plan: Plan | None = None, directory: Directory | None = None) -> None:
        self.plan = plan or Plan()
        self.directory = directory or Directory()
        #: What the rest of the process does while the disk is syncing a file.
        self.during_sync: Callable[[], None] = _nothing
        #: What another thread does just before an operation begins.
        self.before_operation: Callable[[], None] = _nothing
        #: How often each operation was asked for.
        self.counts = dict.fromkeys(OPERATIONS, 0)
        #: What was done so far, for whoever reads about a failure.
        self.trace: list[str] = []
        #: How long each write was, by the number of its operation.
        self.write_sizes: dict[int, int] = {}
        self._chance = random.Random(self.plan.seed)
        self._has_stopped = False
        self._opened: list[FaultyFile] = []

    # --- what a test asks -----------------------------------------------------------------

    def after_kill(self, plan: Plan | None = None) -> FaultyStorage:
        """The process is gone, the machine is not: nothing that was written is lost."""
        self.stop()
        return FaultyStorage(plan, self.directory)

    def after_power_loss(self, plan: Plan | None = None) -> FaultyStorage:
        """The machine starts again with what its disk has."""
        self.stop()
        return FaultyStorage(plan, self.directory.after_power_loss(self._chance))

    def stop(self) -> None:
        """From here on the process that uses this storage gets nothing done."""
        self._has_stopped = True
        self.directory.is_locked = False
        for file in self._opened:
            file.let_go()

    def content(self, name: str) -> bytes:
        return bytes(self.directory.names[name].cache)

    def put_content(self, name: str, content: bytes) -> None:
        """Put a file there, on the disk, as if it always had been there."""
        self.directory.names[name] = self.directory._on_disk[name] = Inode(content)

    def copy(self) -> FaultyStorage:
        """The same files in another directory, all of them on its disk."""
        storage = FaultyStorage()
        for name, inode in self.directory.names.items():
            storage.put_content(name, bytes(inode.cache))
        return storage

    def drop(self, name: str) -> None:
        """Make a file disappear as if it never had been there."""
        del self.directory.names[name]
        self.directory._on_disk.pop(name, None)

    @property
    def has_stopped(self) -> bool:
        return self._has_stopped

    # --- what a journal asks --------------------------------------------------------------

    def lock(self) -> None:
        if self.directory.is_locked:
            raise JournalError("journal in memory: another server uses it")
        self.directory.is_locked = True
        self.directory.names.setdefault("lock", Inode())

    def names(self) -> list[str]:
        self._live()
        return sorted(name for name in self.directory.names if "/" not in name)

    def size(self, name: str) -> int:
        self._live()
        return len(self._inode(name).cache)

    def read(self, name: str) -> bytes:
        self._live()
        return bytes(self._inode(name).cache)

    def create(self, name: str) -> File:
        self.begin("create", name)
        if name in self.directory.names:
            raise failure(errno.EEXIST, name)
        inode = Inode()
        self.directory.change(NameChange("", name, inode))
        return self._open(name, inode)

    def open(self, name: str) -> File:
        self.begin("open", name)
        return self._open(name, self._inode(name))

    def _open(self, name: str, inode: Inode) -> File:
        file = FaultyFile(self, name, inode)
        self._opened.append(file)
        return file

    def rename(self, name: str, new_name: str) -> None:
        self.begin("rename", f"{name} to {new_name}")
        if new_name in self.directory.names:
            raise failure(errno.EEXIST, new_name)
        self.directory.change(NameChange(name, new_name, self._inode(name)))

    def remove(self, name: str) -> None:
        self.begin("remove", name)
        self.directory.change(NameChange(name, "", self._inode(name)))

    def sync(self) -> None:
        self.begin("sync names", "")
        self.directory.sync()

    def close(self) -> None:
        self.directory.is_locked = False

    # --- the plan -------------------------------------------------------------------------

    def begin(self, operation: str, what: str) -> None:
        """Count an operation, and stop or fail if it is its turn."""
        self._live()
        self.before_operation()
        self._live()
        self.counts["any"] += 1
        self.counts[operation] += 1
        number = self.counts["any"]
        self.trace.append(f"{number} {operation} {what}")
        if number == self.plan.stop_at:
            self.stop()
            raise MachineStops(self.trace[-1])
        code = self.plan.failures.get((operation, self.counts[operation]))
        code = code or self.plan.failures.get(("any", number))
        if code:
            self.trace[-1] += f": {errno.errorcode[code]}"
            raise failure(code, what)

    def take_room(self, size: int, name: str) -> None:
        if self.directory.used_bytes() + size > self.plan.disk_bytes:
            self.trace[-1] += ": ENOSPC"
            raise failure(errno.ENOSPC, name)

    def part_of_write(self, data: bytes) -> bytes:
        """So much of it is written: less than all at the stop, or where the plan says so."""
        number = self.counts["any"]
        every = self.plan.short_write_every
        if every and self.counts["write"] % every == 0 and len(data) > 1:
            part = data[: self._chance.randrange(1, len(data))]
            self.trace[-1] += f": only {len(part)}"
            return part
        self.write_sizes[number] = len(data)
        return data

    def sync_or_fail(self, name: str, inode: Inode) -> None:
        try:
            self.begin("sync", name)
        except OSError:
            inode.fail_to_sync(self._chance)
            self.directory.has_lost_pages = True
            raise
        mark = inode.begin_sync()
        self.during_sync()
        self._live()
        inode.end_sync(mark)

    def _live(self) -> None:
        if self._has_stopped:
            raise MachineStops("the machine has stopped")

    def _inode(self, name: str) -> Inode:
        inode = self.directory.names.get(name)
        if inode is None:
            raise failure(errno.ENOENT, name)
        return inode


def _nothing() -> None:
    pass


def failure(code: int, what: str) -> OSError:
    return OSError(code, os.strerror(code), what)


class FaultyFile(File):
    """An open file of a `FaultyStorage`."""

    def __init__(self, storage: FaultyStorage, name: str, inode: Inode) -> None:
        self._storage = storage
        self._name = name
        self._inode = inode
        self._is_open = True
        inode.opened += 1

    def write(self, data: bytes, offset: int) -> int:
        storage = self._storage
        self._check_open()
        try:
            storage.begin("write", f"{self._name} {offset}+{len(data)}")
        except MachineStops:
            if storage.plan.stop_at == storage.counts["any"]:
                self._inode.write(data[: storage.plan.stop_after_bytes], offset)
            raise
        part = storage.part_of_write(data)
        growth = offset + len(part) - len(self._inode.cache)
        if growth > 0:
            storage.take_room(growth, self._name)
        self._inode.write(part, offset)
        return len(part)

    def allocate(self, size: int) -> None:
        self._check_open()
        self._storage.begin("allocate", f"{self._name} {size}")
        growth = size - len(self._inode.cache)
        if growth > 0:
            self._storage.take_room(growth, self._name)
            self._inode.grow(size)

    def truncate(self, size: int) -> None:
        self._check_open()
        self._storage.begin("truncate", f"{self._name} {size}")
        if size < len(self._inode.cache):
            self._inode.cut(size)
        else:
            self._inode.grow(size)

    def sync(self) -> None:
        self._check_open()
        self._storage.sync_or_fail(self._name, self._inode)

    def close(self) -> None:
        self._check_open()
        self.let_go()

    def let_go(self) -> None:
        if self._is_open:
            self._is_open = False
            self._inode.opened -= 1

    def _check_open(self) -> None:
        self._storage._live()
        assert self._is_open, f"{self._name} is closed"
