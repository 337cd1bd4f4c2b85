"""Moving in from beanstalkd: whether there is something to import, and where its files go then."""

from __future__ import annotations

from typing import Final

from beanrow.journal.binlog import VERSIONS, BinlogContents, read_binlogs
from beanrow.journal.errors import JournalError
from beanrow.journal.manifest import Manifest
from beanrow.journal.segment import segment_number
from beanrow.journal.storage import Storage

#: The files of an import go here; those of a later one, into a directory that begins so.
IMPORTED: Final = "beanstalkd"


def has_to_import(
    manifest: Manifest, names: list[str], binlogs: list[str], *, is_new: bool
) -> bool:
    """Whether beanstalkd's files have still to be read; they may also only be left over.

    Raises `JournalError` when they came to a journal that has begun.
    """
    known = manifest.imported
    if not binlogs:
        manifest.imported = []
        return False
    # An import that was begun and not finished begins again; beanstalkd may have run meanwhile.
    if is_new or (known and not manifest.segments and set(known) <= set(binlogs)):
        has_segments = any(segment_number(name) is not None for name in names)
        if not (is_new and has_segments):
            return True
    elif set(binlogs) <= set(known):
        return False
    raise JournalError(
        f"the directory holds a journal of beanrow and {binlogs[0]} of beanstalkd; move "
        "one of them to a directory of its own"
    )


def read_all(storage: Storage) -> BinlogContents:
    """The jobs of all files. Raises `JournalError` when none of these can be read."""
    contents = read_binlogs(storage)
    if contents.flaws and not any(file.version in VERSIONS for file in contents.files):
        raise JournalError(
            f"no file of beanstalkd's binlog can be read ({contents.flaws[0]}); to begin "
            "without them, move them away"
        )
    return contents


def folder_for(storage: Storage, manifest: Manifest, binlogs: list[str]) -> str:
    """Where the files of an import go: all of them together, never among those of an earlier one.

    Some may be there already, when moving them was interrupted.
    """
    own = f"{IMPORTED}-{manifest.instance.hex()[:8]}"
    if any(_exists(storage, f"{own}/{name}") for name in manifest.imported):
        return own
    if any(_exists(storage, f"{IMPORTED}/{name}") for name in binlogs):
        return own
    return IMPORTED


def _exists(storage: Storage, name: str) -> bool:
    try:
        storage.size(name)
    except FileNotFoundError:
        return False
    return True
