"""What a journal expects of a directory: of the real one, and of the one in memory that can fail.

So the journal that survives on the second is the one that people use on the first.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from beanrow.journal.errors import JournalError
from beanrow.journal.storage import LocalStorage, Storage
from tests.crash.faulty_storage import FaultyStorage, Plan

Opener = Callable[[], Storage]


@pytest.fixture(params=["real", "in memory", "in memory, after a loss of power"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the same directory at every call."""
    if request.param == "real":
        return lambda: LocalStorage(tmp_path / "journal")
    last = FaultyStorage()

    def again() -> Storage:
        nonlocal last
        loses_power = request.param != "in memory"
        last = last.after_power_loss() if loses_power else last.after_kill()
        return last

    return again


def write(storage: Storage, name: str, content: bytes) -> None:
    file = storage.create(name)
    assert file.write(content, 0) == len(content)
    file.sync()
    file.close()
    storage.sync()


def test_what_was_synced_is_there_again(opener: Opener) -> None:
    storage = opener()
    assert storage.names() == []
    write(storage, "b", b"beans")
    write(storage, "a", b"")
    storage.close()
    storage = opener()
    assert storage.names() == ["a", "b"]
    assert storage.read("a") == b""
    assert storage.read("b") == b"beans"
    assert storage.size("b") == 5
    storage.close()


def test_a_file_is_written_in_any_place(opener: Opener) -> None:
    storage = opener()
    file = storage.create("f")
    assert file.write(b"row", 1000) == 3
    assert file.write(b"bean", 0) == 4
    assert file.write(b"B", 0) == 1
    file.sync()
    file.close()
    storage.sync()
    assert storage.read("f") == b"Bean" + bytes(996) + b"row"
    file = storage.open("f")
    file.write(b"s", 4)
    file.sync()
    file.close()
    storage.close()
    storage = opener()
    assert storage.read("f") == b"Beans" + bytes(995) + b"row"
    storage.close()


def test_room_is_allocated_and_given_back(opener: Opener) -> None:
    storage = opener()
    file = storage.create("f")
    file.write(b"x" * 2000, 0)
    file.allocate(1000)  # is there already
    assert storage.size("f") == 2000
    file.allocate(3000)
    assert storage.read("f") == b"x" * 2000 + bytes(1000)
    file.truncate(700)
    assert storage.read("f") == b"x" * 700
    file.allocate(1400)
    file.sync()
    file.close()
    storage.sync()
    storage.close()
    storage = opener()
    assert storage.read("f") == b"x" * 700 + bytes(700)
    storage.close()


def test_names_change(opener: Opener) -> None:
    storage = opener()
    write(storage, "a", b"1")
    write(storage, "b", b"2")
    write(storage, "c", b"3")
    with pytest.raises(FileExistsError):
        storage.rename("a", "b")
    storage.remove("b")
    storage.rename("a", "b")
    storage.rename("c", "damaged/c")
    write(storage, "d", b"4")
    storage.remove("d")
    storage.sync()
    assert storage.names() == ["b"]
    storage.close()
    storage = opener()
    assert storage.names() == ["b"]
    assert storage.read("b") == b"1"
    assert storage.read("damaged/c") == b"3"
    storage.close()


def test_an_open_file_keeps_its_content_under_another_name(opener: Opener) -> None:
    storage = opener()
    file = storage.create("spare")
    storage.rename("spare", "f")
    file.write(b"bean", 0)
    assert storage.read("f") == b"bean"
    storage.remove("f")
    file.write(b"s", 4)
    file.close()
    assert storage.names() == []
    storage.close()


MISSING: Final[dict[str, Callable[[Storage], object]]] = {
    "open": lambda storage: storage.open("f"),
    "read": lambda storage: storage.read("f"),
    "size": lambda storage: storage.size("f"),
    "rename": lambda storage: storage.rename("f", "g"),
    "remove": lambda storage: storage.remove("f"),
}


@pytest.mark.parametrize("what", MISSING)
def test_what_is_missing_is_not_found(opener: Opener, what: str) -> None:
    storage = opener()
    with pytest.raises(FileNotFoundError):
        MISSING[what](storage)
    storage.close()


def test_nothing_is_created_twice(opener: Opener) -> None:
    storage = opener()
    write(storage, "f", b"1")
    with pytest.raises(FileExistsError):
        storage.create("f")
    assert storage.read("f") == b"1"
    storage.close()


def test_the_directory_is_locked_until_it_is_closed(opener: Opener) -> None:
    storage = opener()
    storage.lock()
    assert storage.names() == ["lock"]
    storage.close()
    storage = opener()
    storage.lock()
    storage.close()


def test_two_in_one_directory_of_memory() -> None:
    first = FaultyStorage()
    first.lock()
    second = FaultyStorage(Plan(), first.directory)
    with pytest.raises(JournalError, match="another server"):
        second.lock()
