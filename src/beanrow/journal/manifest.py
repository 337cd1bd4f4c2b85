"""The manifest: which segments a journal has.

Segments vanish from the middle of a journal when nothing in them counts any more. The manifest
tells one that vanished so from one that is missing, and one whose removal a crash interrupted from
one that belongs.

It is kept in two files which are written in turn, in place, so that one is whole at any moment and
neither needs room that a full disk does not have: the one with the higher turn counts.
"""

from __future__ import annotations

import json
from typing import Final

from beanrow.journal.checksum import extend
from beanrow.journal.storage import Storage

NAMES: Final = ("manifest-0", "manifest-1")

#: A file grows by so much at a time, so that it has its room before it needs it.
_BLOCK_BYTES: Final = 4096


class Manifest:
    """Which segments belong to a journal, as of its last writing."""

    __slots__ = ("imported", "instance", "removed", "segments", "turn")

    def __init__(self, instance: bytes, turn: int = 0) -> None:
        self.instance = instance
        self.turn = turn
        #: Their numbers. A segment with a higher number than all of these belongs too: it is
        #: newer than the manifest.
        self.segments: list[int] = []
        #: Numbers of those that are being removed: a crash may leave their files.
        self.removed: list[int] = []
        #: Files of beanstalkd's whose jobs are in the segments.
        self.imported: list[str] = []

    def encode(self) -> bytes:
        text = json.dumps(
            {
                "instance": self.instance.hex(),
                "turn": self.turn,
                "segments": self.segments,
                "removed": self.removed,
                "imported": self.imported,
            }
        ).encode()
        data = b"%b\n%08x\n" % (text, extend(0, text))
        return data + b"\n" * (-len(data) % _BLOCK_BYTES)


def decode_manifest(data: bytes) -> Manifest | None:
    """What a file says; None when it is not a whole manifest."""
    text, _, rest = data.partition(b"\n")
    try:
        if int(rest.split(b"\n", 1)[0], 16) != extend(0, text):
            return None
    except ValueError:
        return None
    # With the right checksum it is what `encode` has written.
    fields = json.loads(text)
    manifest = Manifest(bytes.fromhex(fields["instance"]), fields["turn"])
    manifest.segments = fields["segments"]
    manifest.removed = fields["removed"]
    manifest.imported = fields["imported"]
    return manifest


def read_manifest(storage: Storage) -> tuple[Manifest | None, list[str]]:
    """The manifest that counts, and the names of files that should be one and are not."""
    best: Manifest | None = None
    damaged: list[str] = []
    names = storage.names()
    for name in NAMES:
        if name not in names:
            continue
        manifest = decode_manifest(storage.read(name))
        if manifest is None:
            damaged.append(name)
        elif best is None or manifest.turn > best.turn:
            best = manifest
    return best, damaged


def write_manifest(storage: Storage, manifest: Manifest) -> None:
    """Make a manifest durable in the file whose turn it is.

    Raises `OSError`; when that is for want of room, the file is as it was.
    """
    name = NAMES[manifest.turn % len(NAMES)]
    is_new = name not in storage.names()
    file = storage.create(name) if is_new else storage.open(name)
    try:
        data = manifest.encode()
        size = storage.size(name)
        if size < len(data):
            file.allocate(len(data))
        elif size > len(data):
            file.truncate(len(data))
        offset = 0
        while offset < len(data):
            offset += file.write(data[offset:], offset)
        file.sync()
    finally:
        file.close()
    if is_new:
        storage.sync()
