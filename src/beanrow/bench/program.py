"""Making the load generator: its C source, compiled once for each state of it."""

import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from beanrow.bench.errors import LoadError

SOURCE: Final = Path(__file__).with_name("source")
FLAGS: Final = ("-O2", "-Wall", "-Wextra")
#: Programs that have been read less lately are removed when one is made. File systems note when a
#: file is read at least once a day, or else never: then it is the age that counts.
OLD_DAYS: Final = 30
WAY_OUT: Final = "set XDG_CACHE_HOME to a folder that can be written"


def cache_folder() -> Path:
    """Where programs are kept between runs: in the user's cache, as XDG has it.

    Raises LoadError for a user without a home who names no cache either.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    # A relative path is to be ignored, says the XDG base directory specification.
    if Path(named).is_absolute():
        return Path(named) / "beanrow"
    try:
        return Path("~/.cache/beanrow").expanduser()
    except RuntimeError as error:
        raise LoadError(f"there is no home to keep the load generator in; {WAY_OUT}") from error


def build_load(folder: Path | None = None, source: Path = SOURCE) -> Path:
    """Compile the load generator, unless this very source is there compiled; returns its path.

    The program is kept in `folder`, or else in the user's cache. Raises LoadError when there is no
    C compiler or it fails, when the folder cannot be used, and where this is not Linux. What is
    in the program's place and cannot be run is replaced.
    """
    if sys.platform != "linux":
        raise LoadError(f"the load generator needs Linux, for its epoll; this is {sys.platform}")
    folder = cache_folder() if folder is None else folder
    program = folder / f"load-{_fingerprint(source)}"
    try:
        if _can_run(program):
            return program
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="unfinished-", dir=folder) as unfinished:
            _compile(source, Path(unfinished, program.name)).rename(program)
    except OSError as error:
        raise LoadError(
            f"the compiled load generator cannot be kept in {folder}: {error.strerror}; {WAY_OUT}"
        ) from error
    _remove_old(folder)
    return program


def _remove_old(folder: Path) -> None:
    """Remove what nobody has run or finished for long; a new program is a moment to look for it."""
    before_s = time.time() - OLD_DAYS * 86_400
    for pattern, remove in (("load-*", Path.unlink), ("unfinished-*", shutil.rmtree)):
        for path in folder.glob(pattern):
            with suppress(OSError):  # it is only litter, and perhaps another one's
                if path.stat().st_atime < before_s:
                    remove(path)


def _can_run(program: Path) -> bool:
    """Whether it is there, and is what it should be; raises OSError if that cannot be seen."""
    try:
        kind = program.stat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(kind.st_mode) and kind.st_size > 0 and os.access(program, os.X_OK)


def _fingerprint(source: Path) -> str:
    """Tell programs apart; a home may be shared by machines of several kinds."""
    digest = hashlib.sha256(" ".join((platform.machine(), *FLAGS)).encode())
    for path in sorted(source.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _compile(source: Path, program: Path) -> Path:
    named = os.environ.get("CC", "")
    try:
        compiler = shlex.split(named) or ["cc"]
    except ValueError as error:
        raise LoadError(f"CC is {named!r}, which is no command: {error}") from error
    sources = map(str, sorted(source.glob("*.c")))
    try:
        done = subprocess.run(
            [*compiler, *FLAGS, "-o", str(program), *sources],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise LoadError(
            f"no C compiler to make the load generator with ({compiler[0]}: {error.strerror}); "
            "Debian has one in gcc and libc6-dev, and the variable CC names another"
        ) from error
    if done.returncode != 0:
        said = done.stderr.strip()
        why = f":\n{said}" if said else f", and only says so by status {done.returncode}"
        raise LoadError(f"{shlex.join(compiler)} cannot compile the load generator{why}")
    return program
