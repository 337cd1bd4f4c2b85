"""The command line: `beanrow` with its commands, and `beanrowd`.

What is here is loaded in a moment; all else is loaded by `main`, where Ctrl-C is seen to.
"""

from collections.abc import Sequence

from beanrow.cli.ending import run_to_end


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, `sys.argv` unless given, and return the exit status."""

    def load_and_run() -> int:
        from beanrow.cli.command_line import run

        return run(argv)

    return run_to_end("beanrow", load_and_run)
