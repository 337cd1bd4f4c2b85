"""One of the two files is whole at any moment, and the later one counts."""

from pathlib import Path

import pytest

from beanrow.journal.manifest import (
    NAMES,
    Manifest,
    decode_manifest,
    read_manifest,
    write_manifest,
)
from beanrow.journal.storage import LocalStorage

INSTANCE = bytes(range(16))


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


def manifest_of(turn: int, *segments: int) -> Manifest:
    manifest = Manifest(INSTANCE, turn)
    manifest.segments = list(segments)
    return manifest


def test_it_comes_back(storage: LocalStorage) -> None:
    manifest = manifest_of(3, 1, 7, 8)
    manifest.imported = ["binlog.4"]
    write_manifest(storage, manifest)
    found, damaged = read_manifest(storage)
    assert found is not None
    assert (found.instance, found.turn, found.segments) == (INSTANCE, 3, [1, 7, 8])
    assert found.imported == ["binlog.4"]
    assert damaged == []


def test_without_files_there_is_none(storage: LocalStorage) -> None:
    assert read_manifest(storage) == (None, [])


@pytest.mark.parametrize("turn", [1, 2])
def test_the_later_one_counts(storage: LocalStorage, turn: int) -> None:
    write_manifest(storage, manifest_of(turn, 1))
    write_manifest(storage, manifest_of(turn + 1, 2))
    found, _ = read_manifest(storage)
    assert found is not None
    assert found.segments == [2]
    assert storage.names() == list(NAMES)


@pytest.mark.parametrize("length", [0, 1, 50, 4000])
def test_one_that_was_not_written_to_its_end_leaves_the_one_before(
    storage: LocalStorage, tmp_path: Path, length: int
) -> None:
    write_manifest(storage, manifest_of(1, 5))
    write_manifest(storage, manifest_of(2, *range(1, 2000)))
    name = NAMES[2 % 2]
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:length])
    found, damaged = read_manifest(storage)
    assert found is not None
    assert found.segments == [5]
    assert damaged == [name]


def test_any_flipped_bit_is_noticed() -> None:
    data = manifest_of(9, 1, 2).encode()
    end = len(data.rstrip(b"\n"))
    for bit in range(end * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        manifest = decode_manifest(bytes(changed))
        # In the checksum itself, a letter may become a capital one.
        assert manifest is None or (manifest.turn, manifest.segments) == (9, [1, 2])


def test_a_shorter_one_leaves_nothing_of_a_longer_one(storage: LocalStorage) -> None:
    write_manifest(storage, manifest_of(2, *range(1, 3000)))
    write_manifest(storage, manifest_of(4, 1))
    assert storage.read(NAMES[0]) == manifest_of(4, 1).encode()
