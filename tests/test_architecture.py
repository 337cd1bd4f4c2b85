"""Which part of the house may import which, and how large its parts may grow.

Every import counts, wherever it stands: at the top, inside a function, for type checking only,
or by name through `importlib`. The rules are data; a made-up tree proves that breaking one of
them is noticed.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = "beanrow"
HOUSE: Final = ROOT / "src" / PACKAGE

#: What each part may import besides itself and the standard library. A longer name is a
#: narrower permission: "protocol.limits" is that module and nothing else of the protocol.
MAY_IMPORT: Final[dict[str, frozenset[str]]] = {
    "build": frozenset(),
    "native": frozenset(),
    "errors": frozenset(),
    "protocol": frozenset({"errors"}),
    "engine": frozenset({"protocol.limits"}),
    "journal": frozenset(
        {
            "engine.change",
            "engine.job",
            "engine.jobs",
            "engine.replay",
            "engine.tube",
            "protocol.limits",
        }
    ),
    "server": frozenset({"protocol", "engine", "journal"}),
    "client": frozenset({"protocol", "errors"}),
    "bench": frozenset({"errors"}),
    "cli": frozenset({"client", "errors", "protocol.limits"}),
    "aio": frozenset({"client"}),
    # The package itself re-exports the client; `python -m beanrow` is its command line.
    "__init__": frozenset({"client", "errors"}),
    "__main__": frozenset({"cli"}),
}

#: The only modules of the command line that start a server, read its files, or put load on it.
MAY_ALSO_IMPORT: Final[dict[str, frozenset[str]]] = {
    "cli.bench": frozenset({"bench"}),
    "cli.journal": frozenset({"journal"}),
    "cli.serve": frozenset({"server"}),
    "cli.beanrowd": frozenset({"server"}),
}

#: The only packages of others, and who uses them.
PACKAGES: Final[dict[str, frozenset[str]]] = {
    "native": frozenset({"mypy_extensions"}),  # what mypyc reads; it is not needed
    "journal.checksum": frozenset({"google_crc32c"}),  # if it is there
}

#: Every module imports the package it is in, so its version is there for all of them; which build
#: it is, is a fact of the whole package; and words for mypyc are no more than annotations.
FREE_FOR_ALL: Final = ("__version__", "build", "native")

MAX_MODULE_LINES: Final = 500
MAX_FUNCTION_LINES: Final = 70


# --- what a module imports ----------------------------------------------------------------------


def modules_of(package: Path) -> Iterator[tuple[str, Path]]:
    """Each module of a package by its dotted name, without that of the package."""
    for path in sorted(package.rglob("*.py")):
        parts = list(path.relative_to(package).with_suffix("").parts)
        if len(parts) > 1 and parts[-1] == "__init__":
            parts.pop()
        yield ".".join(parts), path


def imports_of(module: str, path: Path) -> Iterator[tuple[int, str]]:
    """The line and the full dotted name of everything that a module imports.

    `import beanrow` alone imports nothing of it; what is then taken from it does.
    """
    package = [PACKAGE, *module.split(".")]
    if path.name != "__init__.py" or module == "__init__":
        package.pop()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield node.lineno, alias.name
            case ast.ImportFrom(module=source, names=names, level=level):
                origin = package[: len(package) - level + 1] if level else []
                origin = origin + (source.split(".") if source else [])
                for alias in names:
                    yield node.lineno, ".".join([*origin, alias.name])
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name == PACKAGE:
                yield node.lineno, f"{PACKAGE}.{attribute}"
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__")
                | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def is_within(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def may_import(module: str, target: str) -> bool:
    """Whether the rules let a module of the package import `target`, both without its name."""
    part = module.split(".", maxsplit=1)[0]
    allowed = MAY_IMPORT[part] | MAY_ALSO_IMPORT.get(module, frozenset())
    return any(is_within(target, name) for name in {part, *allowed, *FREE_FOR_ALL})


def broken_rules(package: Path) -> list[str]:
    """One line for each import that breaks a rule, and for each module without rules."""
    found = []
    for module, path in modules_of(package):
        if module.split(".")[0] not in MAY_IMPORT:
            found.append(f"{module}: has no place in the house")
            continue
        for line, name in sorted(set(imports_of(module, path))):
            first, _, rest = name.partition(".")
            if first != PACKAGE:
                known = PACKAGES.get(module, frozenset())
                if first not in sys.stdlib_module_names and first not in known:
                    found.append(f"{module}:{line} imports {name}: not in the standard library")
            elif rest and not may_import(module, rest):
                found.append(f"{module}:{line} imports {name}")
    return found


def test_every_import_keeps_the_rules_of_the_house() -> None:
    assert broken_rules(HOUSE) == []


def test_every_part_of_the_house_is_looked_at() -> None:
    parts = {module.split(".")[0] for module, _ in modules_of(HOUSE)}
    assert {"errors", "protocol", "engine", "server", "client", "bench", "__init__"} <= parts


# --- the checker itself -------------------------------------------------------------------------

BREAKING: Final = [
    ("errors.py", "from beanrow.protocol import limits", "beanrow.protocol.limits"),
    ("protocol/a.py", "import beanrow.engine.heap", "beanrow.engine.heap"),
    ("engine/a.py", "from beanrow.protocol.commands import PUT", "beanrow.protocol.commands.PUT"),
    ("engine/a.py", "from beanrow.protocol import parser", "beanrow.protocol.parser"),
    ("engine/a.py", "def f():\n    from beanrow import server", "beanrow.server"),
    ("engine/deep/a.py", "from ...server import loop", "beanrow.server.loop"),
    ("engine/__init__.py", "from ..client import sync", "beanrow.client.sync"),
    ("__init__.py", "from .server import server", "beanrow.server.server"),
    (
        "engine/a.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import beanrow.server.loop as x",
        "beanrow.server.loop",
    ),
    ("journal/a.py", "from beanrow.engine.engine import Engine", "beanrow.engine.engine.Engine"),
    ("server/a.py", "from beanrow import Connection", "beanrow.Connection"),
    ("server/a.py", "import beanrow\nbeanrow.Connection", "beanrow.Connection"),
    ("client/a.py", "import importlib\nimportlib.import_module('beanrow.cli')", "beanrow.cli"),
    ("client/a.py", "__import__('beanrow.server')", "beanrow.server"),
    ("bench/a.py", "from beanrow.client import Connection", "beanrow.client.Connection"),
    ("cli/put.py", "from beanrow.bench.load import Plan", "beanrow.bench.load.Plan"),
    ("cli/put.py", "import beanrow.server.server", "beanrow.server.server"),
    ("cli/put.py", "from beanrow.protocol.parser import Parser", "beanrow.protocol.parser.Parser"),
]

KEEPING: Final = [
    ("protocol/a.py", "from beanrow.errors import BadFormat\nimport re, os.path"),
    ("engine/a.py", "from beanrow.protocol.limits import NS_PER_S"),
    ("engine/a.py", "from beanrow.protocol import limits\nfrom . import heap\nfrom .heap import x"),
    ("journal/a.py", "from beanrow.engine.change import Change"),
    ("server/a.py", "import beanrow\nfrom beanrow.engine import heap\nbeanrow.__version__"),
    ("bench/a.py", "from beanrow.errors import BeanrowError"),
    ("cli/bench.py", "def run():\n    from beanrow.bench.load import Plan"),
    ("cli/serve.py", "import beanrow.server.server"),
    ("cli/beanrowd.py", "def run():\n    from beanrow.server import server"),
]


def made_up_house(folder: Path, file: str, source: str) -> Path:
    package = folder / PACKAGE
    (package / file).parent.mkdir(parents=True)
    (package / file).write_text(source)
    return package


@pytest.mark.parametrize(("file", "source", "target"), BREAKING)
def test_a_broken_rule_is_noticed(tmp_path: Path, file: str, source: str, target: str) -> None:
    (broken,) = broken_rules(made_up_house(tmp_path, file, source))
    assert broken.endswith(f" imports {target}")


@pytest.mark.parametrize(("file", "source"), KEEPING)
def test_what_the_rules_allow_is_left_alone(tmp_path: Path, file: str, source: str) -> None:
    assert broken_rules(made_up_house(tmp_path, file, source)) == []


def test_a_foreign_package_is_noticed(tmp_path: Path) -> None:
    package = made_up_house(tmp_path, "engine/a.py", "def f():\n    import yaml.nodes")
    assert broken_rules(package) == ["engine.a:2 imports yaml.nodes: not in the standard library"]


def test_a_part_without_rules_is_noticed(tmp_path: Path) -> None:
    package = made_up_house(tmp_path, "helpers/a.py", "")
    assert broken_rules(package) == ["helpers.a: has no place in the house"]


# --- style --------------------------------------------------------------------------------------


def style_errors(path: Path) -> Iterator[str]:
    """What is too long in a module, and where it would swallow every error."""
    source = path.read_text()
    lines = source.count("\n")
    if lines > MAX_MODULE_LINES:
        yield f"{path.name}: {lines} lines"
    for node in ast.walk(ast.parse(source, str(path))):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    yield f"{path.name}:{node.lineno} {name} has {lines} lines"
            case ast.ExceptHandler(type=None):
                yield f"{path.name}:{node.lineno} bare except"


def python_files() -> list[Path]:
    """All that is written here, and nothing that was installed here."""
    return [
        path
        for folder in ("src", "tests", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "node_modules" not in path.parts
    ]


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    assert list(style_errors(path)) == []


def test_a_breach_of_style_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    long_function = "def f():\n" + "    pass\n" * MAX_FUNCTION_LINES
    path.write_text(long_function + "try:\n    f()\nexcept:\n    pass\n" + "\n" * MAX_MODULE_LINES)
    lines = MAX_FUNCTION_LINES + MAX_MODULE_LINES + 5
    assert list(style_errors(path)) == [
        f"a.py: {lines} lines",
        f"a.py:1 f has {MAX_FUNCTION_LINES + 1} lines",
        f"a.py:{MAX_FUNCTION_LINES + 4} bare except",
    ]
