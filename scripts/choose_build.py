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
from typing import Final

from setup import why_interpreted

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "src"
BUILDS: Final = ROOT / "build" / "compiled"
VENV: Final = ROOT / ".venv"

#: Which interpreter, on what machine: cpython-311-x86_64-linux-gnu, say.
ABI: Final = sysconfig.get_config_var("SOABI") or sys.implementation.name

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
        remove_old_builds()
    return folder


def compile_into(folder: Path, python: Path) -> None:
    """Compile a copy of the source, which is left as it is. Raises `CompileError`."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for path in source_files():
            (copy / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy / path.relative_to(ROOT))
        done = subprocess.run(
            [python, "setup.py", "--quiet", "build", "--build-lib", folder],
            cwd=copy,
            text=True,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    if done.returncode != 0:
        raise CompileError(done.stdout.strip())


def compiling_python() -> Path:
    """Return an interpreter like this one that has mypyc: that of .venv, or one made for it."""
    if Path(sys.prefix).resolve() == VENV:
        return Path(sys.executable)
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    tools = BUILDS / f"tools-{ABI}-{hashlib.sha256(repr(needed).encode()).hexdigest()[:16]}"
    if tools.exists():
        return tools / "bin" / "python"
    if not importlib.util.find_spec("ensurepip"):
        raise NothingToCompileWithError("Python's venv is missing (Debian has it in python3-venv)")
    tell(f"fetching what compiles beanrow: {', '.join(needed)}")
    with completed(tools) as unfinished:
        make_tools(unfinished, needed)
    return tools / "bin" / "python"


def make_tools(folder: Path, needed: list[str]) -> None:
    """Make a virtual environment with these packages. Raises `NothingToCompileWithError`."""
    pip = (str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check")
    try:
        for command in (
            (sys.executable, "-m", "venv", str(folder)),
            (*pip, "install", "--retries", "1", "--timeout", "10", *needed),
        ):
            subprocess.run(command, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or [str(error)]
        raise NothingToCompileWithError(f"mypyc cannot be fetched ({said[-1]})") from None


def source_files() -> list[Path]:
    """List all that a build is made from."""
    around = [ROOT / name for name in ("LICENSE", "README.md", "pyproject.toml", "setup.py")]
    package = [path for path in SOURCE.rglob("*") if path.suffix in (".py", ".typed")]
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


def tell(words: str) -> None:
    """Say it to whoever waits, apart from the answer."""
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
