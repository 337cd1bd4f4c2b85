"""The packages, made as for a release, installed where nothing else is, and used.

They are made for the interpreter of the tests, or for those that BEANROW_PYTHONS names
(`make pythons`: every one that beanrow is for).
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

import beanrow
from tests.e2e.server_process import LOCAL, serving
from tests.peers import lacks

pytestmark = [pytest.mark.any_build, pytest.mark.timeout(600)]

ROOT: Final = Path(__file__).resolve().parents[2]
PYTHONS: Final = os.environ.get("BEANROW_PYTHONS", sys.executable).split()

#: As for somebody who has never heard of this checkout.
ENVIRONMENT: Final = {
    name: value
    for name, value in os.environ.items()
    if name not in ("BEANROW_PURE", "PYTHONPATH", "VIRTUAL_ENV")
}
PIP: Final = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def run(folder: Path, *command: str | Path, **variables: str) -> str:
    """Run a command in a folder to its good end; returns what it has printed."""
    environment = ENVIRONMENT | variables
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def source_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = settings["build-system"]["requires"]
    command = (*PIP, "download", "--quiet", "--no-deps", *needed)
    if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode != 0:
        lacks("what packages are built with cannot be downloaded")
    run(ROOT, sys.executable, "-m", "build", "--sdist", "--outdir", folder)
    (package,) = folder.glob("*.tar.gz")
    return package


def usable(python: str) -> str:
    path = shutil.which(python)
    # pyenv has commands for interpreters that it does not find.
    if path is None or subprocess.run([path, "-c", ""], check=False).returncode != 0:
        pytest.skip(f"{python} is not here")
    return path


def why_interpreted(python: str) -> str:
    """Why that interpreter cannot have a compiled build; empty if it can."""
    program = "from setup import why_interpreted; print(why_interpreted() or '')"
    return run(ROOT, python, "-c", program).strip()


def installed_wheel(folder: Path, source_package: Path, python: str, build: str) -> Path:
    """Make a wheel and install it in a new environment; returns the folder of its commands."""
    pure = "1" if build == "interpreted" else "0"
    run(
        folder,
        *(*PIP, "--python", python, "wheel", "--no-deps", "--no-cache-dir", source_package),
        BEANROW_PURE=pure,
    )
    (wheel,) = folder.glob("*.whl")
    assert wheel.stem.endswith("py3-none-any") == (build == "interpreted")
    run(folder, python, "-m", "venv", "--without-pip", "env")
    commands = folder / "env" / "bin"
    run(folder, *PIP, "--python", commands / "python", "install", "--quiet", wheel)
    return commands


def use(commands: Path, folder: Path, build: str) -> None:
    """The life of a job, through the installed commands."""
    with serving(
        *LOCAL,
        command=(str(commands / "beanrow"), "serve"),
        build=build,
        cwd=folder,
        env=ENVIRONMENT,
    ) as server:

        def beanrow_command(*arguments: str, **variables: str) -> str:
            variables["BEANROW_SERVER"] = server.addresses[0]
            return run(folder, commands / "beanrow", *arguments, **variables)

        assert beanrow_command("put", "--tube", "mail", "hello") == "1\n"
        taken = beanrow_command("reserve", "--tube", "mail", "--timeout", "1", "--delete", "--raw")
        assert taken == "hello"
        stats = beanrow_command("stats").split("\n")
        assert any(line.split() == ["total-jobs", "1"] for line in stats), stats
        assert any(line.split() == ["current-jobs-ready", "0"] for line in stats), stats
        if shutil.which(os.environ.get("CC", "cc")) is not None:  # the source is in the package
            cache = str(folder / "cache")
            measured = beanrow_command("bench", "--seconds", "0.1", "--json", XDG_CACHE_HOME=cache)
            assert json.loads(measured)["commands"] > 0


@pytest.mark.parametrize("build", ["compiled", "interpreted"])
@pytest.mark.parametrize("python", PYTHONS, ids=lambda python: Path(python).name)
def test_a_wheel_works(source_package: Path, python: str, build: str, tmp_path: Path) -> None:
    python = usable(python)
    if build == "compiled" and (reason := why_interpreted(python)):
        lacks(reason)
    commands = installed_wheel(tmp_path, source_package, python, build)
    for version in (["beanrow", "--version"], ["beanrowd", "-v"]):
        printed = run(tmp_path, commands / version[0], version[1])
        assert printed == f"beanrow {beanrow.__version__} ({build})\n"
    use(commands, tmp_path, build)


def test_without_a_compiler_a_wheel_is_interpreted_and_says_so(tmp_path: Path) -> None:
    command: Sequence[str | Path] = (
        *(sys.executable, "setup.py", "--quiet", "build"),
        *("--build-base", tmp_path / "base", "--build-lib", tmp_path / "lib"),
    )
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**ENVIRONMENT, "CC": "no-such-compiler"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "beanrow will be interpreted, not compiled: there is no C compiler" in done.stderr
    assert not list((tmp_path / "lib").rglob("*.so"))
