"""Builds beanrow: its hot modules compiled by mypyc where a C compiler is, elsewhere none.

Whatever else there is to say of the package is in pyproject.toml. docs/architecture.md has the
reasons. This file can be imported without setuptools: scripts and tests read its list.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Final

#: What is compiled. It is one group, whose modules call each other as functions of C.
COMPILED_MODULES: Final = [
    "build",
    "engine.change",
    "engine.engine",
    "engine.heap",
    "engine.job",
    "engine.jobs",
    "engine.places",
    "engine.replay",
    "engine.session",
    "engine.stats",
    "engine.timers",
    "engine.tube",
    "journal.base",
    "journal.checksum",
    "journal.compaction",
    "journal.homes",
    "journal.local",
    "journal.record",
    "journal.recovery",
    "journal.scan",
    "journal.segment",
    "journal.writer",
    "protocol.commands",
    "protocol.limits",
    "protocol.parser",
    "protocol.replies",
    "protocol.scanning",
    "server.acceptor",
    "server.clock",
    "server.connection",
    "server.dispatch",
    "server.gate",
    "server.loop",
    "server.server",
    "server.stats_documents",
]

#: Their neighbours in the same packages that are not, and why. A test holds that none is forgotten.
INTERPRETED_MODULES: Final = {
    "journal.binlog": "read once, when the jobs of a beanstalkd move in",
    "journal.errors": "raised once, at the start",
    "journal.importing": "called once, when the jobs of a beanstalkd move in",
    "journal.inspect": "called by commands for people",
    "journal.manifest": "written when segments come and go",
    "journal.storage": "its cost is the disk; and tests put storages of their own in its place",
    "journal.syncer": "its cost is the disk",
    "protocol.documents": "the client's, whom the network slows more than Python does",
    "protocol.requests": "the client's",
    "protocol.responses": "the client's",
    "server.config": "read once, at the start",
    "server.errors": "raised once, at the start",
    "server.listeners": "opened once, at the start",
    "server.logs": "its cost is the writing",
    "server.process": "called at the start and by signals",
    "server.run": "runs once",
    "server.systemd": "called at the start and at the end",
}

#: Compiled code calls Python's C functions all the time. Without the detour through the linker's
#: table, a command takes 2% less.
DIRECT_CALLS: Final = ["-fno-plt"]

#: The commands that make a package of what is built. An editable install is not among them: it
#: runs the source, so that no edit is ever hidden behind what was compiled before.
PACKAGING_COMMANDS: Final = {"build", "bdist_wheel"}


def why_interpreted() -> str | None:
    """Tell why nothing is compiled: it cannot be here, or need not. None if it is."""
    if os.environ.get("BEANROW_PURE", "0") not in ("", "0"):
        return "BEANROW_PURE asks for it"
    if sys.implementation.name != "cpython":
        return f"mypyc compiles for CPython, which {sys.implementation.name} is not"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder, "probe.c")
        probe.write_text("#include <Python.h>\n")
        headers = {f"-I{sysconfig.get_path(name)}" for name in ("include", "platinclude")}
        command = [*compiler, *headers, "-c", str(probe), "-o", str(probe.with_suffix(".o"))]
        try:
            subprocess.run(command, capture_output=True, text=True, check=True)
        except OSError as error:
            return f"there is no C compiler ({compiler[0]}: {error.strerror})"
        except subprocess.CalledProcessError as error:
            if "Python.h" in error.stderr:
                return "there are no C headers of Python (Debian has them in python3-dev)"
            said = error.stderr.splitlines() or [f"status {error.returncode}"]
            return f"the C compiler does not work ({compiler[0]}: {said[0]})"
    return None


def main() -> None:
    """Run setuptools. A mistake in what is compiled ends it; only a missing compiler does not."""
    from setuptools import Extension, setup

    extensions: list[Extension] = []
    if PACKAGING_COMMANDS.intersection(sys.argv):
        reason = why_interpreted()
        if reason is None:
            from mypyc.build import mypycify

            paths = [f"src/beanrow/{name.replace('.', '/')}.py" for name in COMPILED_MODULES]
            extensions = mypycify(paths, group_name="beanrow")
            if sys.platform == "linux":
                for extension in extensions:
                    extension.extra_compile_args += DIRECT_CALLS
        else:
            print(f"beanrow will be interpreted, not compiled: {reason}", file=sys.stderr)
    setup(ext_modules=extensions)


if __name__ == "__main__":
    main()
