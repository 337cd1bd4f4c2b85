"""Where the load generator is kept, that it is made once, and what stands in the way."""

import os
import pwd
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from beanrow.bench.errors import LoadError
from beanrow.bench.program import SOURCE, build_load, cache_folder
from tests.peers import lacks

HAS_COMPILER = shutil.which(os.environ.get("CC", "cc")) is not None


@pytest.fixture
def compiler() -> None:
    if not HAS_COMPILER:
        lacks("no C compiler to make the load generator with")


def test_it_is_kept_in_the_cache_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/beanrow")
    monkeypatch.setenv("HOME", "/home/me")
    for not_absolute in ("", "here"):
        monkeypatch.setenv("XDG_CACHE_HOME", not_absolute)
        assert cache_folder() == Path("/home/me/.cache/beanrow")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("/home/me/.cache/beanrow")


@pytest.mark.usefixtures("compiler")
def test_it_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    program = build_load()
    made_at = program.stat().st_mtime_ns
    monkeypatch.setenv("CC", "no-such-compiler")
    assert build_load() == program
    assert program.stat().st_mtime_ns == made_at
    assert list((tmp_path / "beanrow").iterdir()) == [program]


@pytest.mark.usefixtures("compiler")
def test_two_can_make_it_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        programs = list(pool.map(build_load, [tmp_path] * 4))
    assert len(set(programs)) == 1
    assert list(tmp_path.iterdir()) == programs[:1]
    done = subprocess.run([programs[0]], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "--host and --port are needed, or --unix\n")


@pytest.mark.usefixtures("compiler")
def test_another_source_is_another_program(tmp_path: Path) -> None:
    source = shutil.copytree(SOURCE, tmp_path / "source")
    before = build_load(tmp_path, source)
    with (source / "load.h").open("a") as header:
        header.write("/* not the same any more */\n")
    after = build_load(tmp_path, source)
    assert before != after
    assert before.exists()
    assert after.exists()


@pytest.mark.usefixtures("compiler")
def test_what_is_old_is_removed_when_one_is_made(tmp_path: Path) -> None:
    for name in ("load-old", "load-new", "else-old"):
        (tmp_path / name).touch()
    for name in ("unfinished-old", "unfinished-new"):
        (tmp_path / name).mkdir()
    then_s = time.time() - 31 * 86_400
    for path in tmp_path.glob("*-old"):
        os.utime(path, (then_s, then_s))
    program = build_load(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {program.name, "load-new", "unfinished-new", "else-old"}


@pytest.mark.usefixtures("compiler")
def test_what_the_compiler_says_is_told(tmp_path: Path) -> None:
    (tmp_path / "wrong.c").write_text("int main(void) { return nothing; }\n")
    with pytest.raises(LoadError, match=r"cannot compile the load generator:\n(.|\n)*nothing"):
        build_load(tmp_path / "cache", tmp_path)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("content", ["", "#!/bin/sh\n"], ids=["empty", "not executable"])
def test_what_cannot_be_run_is_made_anew(content: str, tmp_path: Path) -> None:
    program = build_load(tmp_path)
    program.unlink()
    program.write_text(content)
    program.chmod(0o644 if content else 0o755)
    assert build_load(tmp_path) == program
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.stderr == "--host and --port are needed, or --unix\n"


@pytest.mark.usefixtures("compiler")
def test_a_folder_in_the_place_of_the_program_is_told(tmp_path: Path) -> None:
    program = build_load(tmp_path)
    program.unlink()
    program.mkdir()
    with pytest.raises(LoadError, match=r"cannot be kept in .*: Is a directory; set XDG_CACHE"):
        build_load(tmp_path)


@pytest.mark.parametrize("variable", [None, "", " "])
def test_a_missing_compiler_is_told_with_the_way_out(
    variable: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    if variable is not None:
        monkeypatch.setenv("CC", variable)
    with pytest.raises(LoadError, match=r"no C compiler .*\(cc: No such file.*gcc and libc6-dev"):
        build_load(tmp_path / "cache")


def test_a_compiler_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", 'gcc "')
    with pytest.raises(LoadError, match=r"CC is 'gcc \"', which is no command: No closing quot"):
        build_load(tmp_path)


def test_a_compiler_that_fails_in_silence_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "false -x")
    with pytest.raises(LoadError, match=r"^false -x cannot compile .* by status 1$"):
        build_load(tmp_path)


def test_a_user_without_a_home_is_told_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME")
    in_use = {user.pw_uid for user in pwd.getpwall()}
    nobody_is = next(uid for uid in range(12_345, 60_000) if uid not in in_use)
    monkeypatch.setattr(os, "getuid", lambda: nobody_is)
    with pytest.raises(LoadError, match=r"there is no home .*; set XDG_CACHE_HOME to a folder"):
        cache_folder()


def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(LoadError, match=r"cannot be kept in .*/file/beanrow.*set XDG_CACHE_HOME"):
        build_load()
