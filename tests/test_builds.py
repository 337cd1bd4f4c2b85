"""What is compiled, and that all of it is what the build says it is."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

from beanrow.build import COMPILED
from setup import COMPILED_MODULES, INTERPRETED_MODULES

HOUSE: Final = Path(__file__).resolve().parent.parent / "src" / "beanrow"

#: The packages of which every module is either listed or left out with a reason.
HOT_PACKAGES: Final = ("engine", "journal", "protocol", "server")


def suffix_of(module: str) -> str:
    return Path(import_module(f"beanrow.{module}").__file__ or "").suffix


def modules_of_hot_packages() -> Iterator[str]:
    for package in HOT_PACKAGES:
        for path in (HOUSE / package).rglob("*.py"):
            if path.name != "__init__.py":
                yield ".".join(path.relative_to(HOUSE).with_suffix("").parts)


def test_every_module_that_may_be_hot_is_listed_or_left_out_with_a_reason() -> None:
    listed = [*COMPILED_MODULES, *INTERPRETED_MODULES]
    assert sorted(listed) == sorted({"build", *modules_of_hot_packages()})
    assert all(INTERPRETED_MODULES.values())


def test_the_lists_are_sorted() -> None:
    assert sorted(COMPILED_MODULES) == COMPILED_MODULES
    assert sorted(INTERPRETED_MODULES) == list(INTERPRETED_MODULES)


@pytest.mark.parametrize("module", COMPILED_MODULES)
def test_the_hot_modules_are_what_the_build_says(module: str) -> None:
    assert suffix_of(module) == (".so" if COMPILED else ".py")


@pytest.mark.parametrize("module", INTERPRETED_MODULES)
def test_the_other_modules_are_always_interpreted(module: str) -> None:
    assert suffix_of(module) == ".py"


def test_a_child_process_loads_the_same_files(tmp_path: Path) -> None:
    program = (
        "import sys, json, importlib\n"
        "print(json.dumps([importlib.import_module(name).__file__ for name in sys.argv[1:]]))"
    )
    names = [f"beanrow.{module}" for module in COMPILED_MODULES]
    command = [sys.executable, "-c", program, *names]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [import_module(name).__file__ for name in names]
