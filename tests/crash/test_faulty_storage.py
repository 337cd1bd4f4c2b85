"""The storage that fails: it loses what may be lost, sooner or later, and nothing else."""

import errno
from collections.abc import Callable

import pytest

from beanrow.journal.storage import File
from tests.crash.faulty_storage import PAGE_BYTES, FaultyStorage, MachineStops, Plan

OLD = b"o" * (3 * PAGE_BYTES)
NEW = b"n" * PAGE_BYTES


def with_file(seed: int = 0, **plan: object) -> tuple[FaultyStorage, File]:
    """A directory with a file of three pages, all on the disk."""
    storage = FaultyStorage(Plan(seed=seed, **plan))  # type: ignore[arg-type]
    file = storage.create("f")
    file.write(OLD, 0)
    file.sync()
    storage.sync()
    return storage, file


def write_more(file: File) -> None:
    file.write(b"2", 1)


def outcomes(play: Callable[[FaultyStorage, File], None]) -> set[bytes | None]:
    """All that may be left of the file when the power fails after this."""
    found: set[bytes | None] = set()
    for seed in range(300):
        storage, file = with_file(seed)
        play(storage, file)
        after = storage.after_power_loss()
        found.add(after.read("f") if "f" in after.names() else None)
    return found


def test_unsynced_pages_survive_in_any_mixture() -> None:
    def play(_: FaultyStorage, file: File) -> None:
        file.write(NEW, 0)
        file.write(NEW, 2 * PAGE_BYTES)

    old = OLD[:PAGE_BYTES]
    assert outcomes(play) == {a + old + b for a in (old, NEW) for b in (old, NEW)}


def test_a_page_written_twice_comes_back_in_any_of_its_versions() -> None:
    def play(_: FaultyStorage, file: File) -> None:
        file.write(b"1", 0)
        file.write(b"2", 1)

    assert {found[:2] for found in outcomes(play) if found} == {b"oo", b"1o", b"12"}


def test_the_length_of_a_file_may_be_an_older_one() -> None:
    def play(_: FaultyStorage, file: File) -> None:
        file.truncate(100)
        file.allocate(4 * PAGE_BYTES)

    lengths = {len(found) for found in outcomes(play) if found is not None}
    assert lengths == {100, 3 * PAGE_BYTES, 4 * PAGE_BYTES}


def test_names_are_lost_unless_the_directory_was_synced() -> None:
    def play(storage: FaultyStorage, _: File) -> None:
        storage.rename("f", "g")
        storage.create("f").sync()

    # As it was; renamed only; both. Never the new file while the old one still has its name.
    assert outcomes(play) == {OLD, None, b""}

    def remove(storage: FaultyStorage, _: File) -> None:
        storage.remove("f")

    assert outcomes(remove) == {OLD, None}


def test_nothing_synced_is_lost() -> None:
    def play(storage: FaultyStorage, file: File) -> None:
        file.write(NEW, 0)
        file.truncate(2 * PAGE_BYTES)
        file.sync()
        storage.create("g")
        storage.sync()

    assert outcomes(play) == {NEW + OLD[:PAGE_BYTES]}


def test_what_is_written_during_a_sync_may_be_lost() -> None:
    def play(storage: FaultyStorage, file: File) -> None:
        file.write(b"1", 0)
        storage.during_sync = lambda: write_more(file)
        file.sync()

    assert {found[:2] for found in outcomes(play) if found} == {b"1o", b"12"}


def test_after_a_failed_sync_no_other_one_helps() -> None:
    found = set()
    for seed in range(100):
        storage, file = with_file(seed, failures={("sync", 2): errno.EIO})
        file.write(NEW, 0)
        with pytest.raises(OSError, match="Input/output"):
            file.sync()
        file.sync()
        assert storage.after_kill().read("f") == NEW + OLD[PAGE_BYTES:]
        found.add(storage.after_kill().after_power_loss().read("f"))
    assert found == {OLD, NEW + OLD[PAGE_BYTES:]}


def test_what_is_written_anew_after_a_failed_sync_can_be_synced() -> None:
    for seed in range(20):
        storage, file = with_file(seed, failures={("sync", 2): errno.EIO})
        file.write(NEW, 0)
        with pytest.raises(OSError, match="Input/output"):
            file.sync()
        file.write(NEW[:1], 0)
        file.sync()
        assert storage.after_power_loss().read("f") == NEW + OLD[PAGE_BYTES:]


def test_a_killed_process_leaves_all_that_it_wrote() -> None:
    storage, file = with_file(stop_at=6)
    file.write(NEW, 0)
    with pytest.raises(MachineStops):
        storage.remove("f")
    with pytest.raises(MachineStops):
        storage.names()
    assert storage.after_kill().read("f") == NEW + OLD[PAGE_BYTES:]


@pytest.mark.parametrize("done", [0, 1, 700, 2 * PAGE_BYTES])
def test_the_machine_stops_within_a_write(done: int) -> None:
    storage, file = with_file(stop_at=5, stop_after_bytes=done)
    with pytest.raises(MachineStops):
        file.write(2 * NEW, 0)
    assert storage.after_kill().read("f") == (2 * NEW)[:done] + OLD[done:]


def test_short_writes_and_failures_come_as_planned() -> None:
    storage, file = with_file(short_write_every=2, failures={("write", 3): errno.EIO})
    assert 0 < file.write(NEW, 0) < len(NEW)
    with pytest.raises(OSError, match="Input/output"):
        file.write(NEW, 0)
    assert 0 < file.write(NEW, 0) < len(NEW)
    assert storage.counts["write"] == 4


def test_a_full_disk_has_room_again_when_something_is_removed() -> None:
    storage, file = with_file(disk_bytes=4 * PAGE_BYTES)
    with pytest.raises(OSError, match="No space"):
        file.allocate(5 * PAGE_BYTES)
    with pytest.raises(OSError, match="No space"):
        file.write(2 * NEW, 3 * PAGE_BYTES)
    other = storage.create("g")
    other.allocate(PAGE_BYTES)
    storage.remove("g")
    with pytest.raises(OSError, match="No space"):
        file.allocate(4 * PAGE_BYTES)  # it is still open
    other.close()
    file.allocate(4 * PAGE_BYTES)
    file.truncate(0)
    storage.create("h").allocate(4 * PAGE_BYTES)
