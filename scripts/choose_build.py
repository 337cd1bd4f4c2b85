"""usage: python -m scripts.choose_build

Prints the folder to import beanrow from: a compiled build of this source where that can be had, or
else `src`, with a line on stderr that says why. It is for the interpreter that runs this.

Compiled builds are kept in `build/compiled` under a name made of what they were made from. So one
that is there is up to date, and a server that runs from an older one is not disturbed.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from setup import why_interpreted

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "src"
BUILDS: Final = ROOT / "build" / "compiled"
VENV: Final = ROOT / ".venv"

#: Which interpreter, on what machine: cpython-311-x86_64-linux-gnu, say.
ABI: Final = sysconfig.get_config_var("SOABI") or sys.implementation.name

PIP_INSTALL: Final = (
    *("-m", "pip", "--quiet", "--disable-pip-version-check"),
    *("install", "--retries", "1", "--timeout", "10"),
)

#: What belongs to the package: Python, its marker of types, and the C of the load generator.
PACKAGED: Final = (".py", ".typed", ".c", ".h")

#: How many builds of older source to keep, for servers that still run from them.
KEPT_BUILDS: Final = 3


class NothingToCompileWithError(Exception):
    """What compiles beanrow cannot be had; not the fault of the source."""


class CompileError(Exception):
    """The source cannot be compiled: a defect."""


def main() -> int:
    """Choose, compile if need be, and tell."""
    try:
        folder = compiled_build()
    except NothingToCompileWithError as reason:
        tell(f"beanrow is interpreted, not compiled: {reason}")
        folder = SOURCE
    except CompileError as error:
        tell(f"{error}\nbeanrow cannot be compiled; BEANROW_PURE=1 does without")
        return 1
    except KeyboardInterrupt:
        return 130
    print(folder)
    return 0


def compiled_build() -> Path:
    """Return the folder of the compiled build of this source, made now if it is not there."""
    reason = why_interpreted()
    if reason is not None:
        raise NothingToCompileWithError(reason)
    folder = BUILDS / f"{ABI}-{fingerprint(source_files())}"
    if not folder.exists():
        python = compiling_python()
        tell("compiling beanrow, which takes a moment")
        with completed(folder) as unfinished:
            compile_into(unfinished, python)
            add_dependencies(unfinished, python)
        remove_old_builds()
    return folder


def compile_into(folder: Path, python: str) -> None:
    """Compile a copy of the source, which is left as it is. Raises `CompileError`."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for path in source_files():
            (copy / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy / path.relative_to(ROOT))
        try:
            run(python, "setup.py", "--quiet", "build", "--build-lib", str(folder), folder=copy)
        except subprocess.CalledProcessError as error:
            raise CompileError(error.stdout.strip()) from None


def add_dependencies(folder: Path, python: str) -> None:
    """Lay what beanrow depends on beside it, for an interpreter that does not have it."""
    needed = settings()["project"]["dependencies"]
    try:
        run(python, *PIP_INSTALL, "--target", str(folder), *needed)
    except subprocess.CalledProcessError as error:  # beanrow does without, and says what that costs
        tell(f"{', '.join(needed)} cannot be fetched ({last_words(error)})")


def compiling_python() -> str:
    """Return an interpreter like this one that has mypyc: that of .venv, or one made for it."""
    if Path(sys.prefix).resolve() == VENV:
        return sys.executable
    needed = settings()["build-system"]["requires"]
    tools = BUILDS / f"tools-{ABI}-{hashlib.sha256(repr(needed).encode()).hexdigest()[:16]}"
    python = str(tools / "bin" / "python")
    if tools.exists():
        return python
    if not importlib.util.find_spec("ensurepip"):
        raise NothingToCompileWithError("Python's venv is missing (Debian has it in python3-venv)")
    tell(f"fetching what compiles beanrow: {', '.join(needed)}")
    with completed(tools) as unfinished:
        make_tools(unfinished, needed)
    return python


def make_tools(folder: Path, needed: list[str]) -> None:
    """Make a virtual environment with these packages. Raises `NothingToCompileWithError`."""
    try:
        run(sys.executable, "-m", "venv", str(folder))
        run(str(folder / "bin" / "python"), *PIP_INSTALL, *needed)
    except subprocess.CalledProcessError as error:
        reason = f"mypyc cannot be fetched ({last_words(error)})"
        raise NothingToCompileWithError(reason) from None


def source_files() -> list[Path]:
    """List all that a build is made from."""
    around = [ROOT / name for name in ("LICENSE", "README.md", "pyproject.toml", "setup.py")]
    package = [path for path in SOURCE.rglob("*") if path.suffix in PACKAGED]
    return sorted(around + package)


def fingerprint(paths: list[Path]) -> str:
    """Return 16 hex digits that change with any name or content."""
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


@contextmanager
def completed(folder: Path) -> Iterator[Path]:
    """Let a folder be filled under another name: it gets its own only when it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=folder.parent))
    unfinished.chmod(0o755)  # also for the user that a server becomes
    try:
        yield unfinished
        if not folder.exists():  # somebody else may have made it in the meantime
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def remove_old_builds() -> None:
    """Remove all builds for this interpreter but the latest."""
    builds = sorted(BUILDS.glob(f"{ABI}-*"), key=lambda path: path.stat().st_mtime)
    for folder in builds[:-KEPT_BUILDS]:
        shutil.rmtree(folder, ignore_errors=True)  # somebody else may be at it


def settings() -> dict[str, Any]:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def run(*command: str, folder: Path = ROOT) -> None:
    """Run a command in silence. Raises `CalledProcessError` with all that it said."""
    subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )


def last_words(error: subprocess.CalledProcessError) -> str:
    """The end of what a command said, which is where the reason is."""
    said: list[str] = error.stdout.strip().splitlines() or [str(error)]
    return said[-1]


def tell(words: str) -> None:
    """Say it to whoever waits, apart from the answer."""
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
