"""How a command ends: with an exit status, and at most one line about what went wrong.

Input and output may fail under every command, and Ctrl-C may end it anywhere; this is where both
are turned into a status, for `beanrow` and `beanrowd` alike.
"""

import io
import os
import sys
from collections.abc import Callable
from typing import Final

FAILED: Final = 1
MISUSED: Final = 2
#: 128 + the number of the signal that would have ended another program here. (The server has the
#: first of them too, for its second SIGINT; commands of clients do not import the server.)
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141


def tell(message: str) -> None:
    """Say something to the person at the terminal, apart from the output."""
    if sys.stderr is None:  # print would take None for standard output
        return
    try:
        print(message, file=sys.stderr, flush=True)
    except OSError:
        # There is no other place to say it. It must not be tried again at exit either.
        _let_go(sys.stderr.fileno())


def run_to_end(prog: str, command: Callable[[], int]) -> int:
    """Run a command and write out what it has printed; returns the exit status.

    What Python cannot print in the encoding of standard output is escaped.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = command()
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough
        _drop_output()
        return BROKEN_PIPE
    except OSError as error:  # those of a connection are BeanrowErrors
        _drop_output()
        tell(f"{prog}: cannot read the input or write the output: {error.strerror}")
        return FAILED
    except MemoryError:
        tell(f"{prog}: there is not enough memory for this")
        return FAILED
    return status


def _drop_output() -> None:
    """Let go what cannot be written, or Python tries it again at exit, and complains."""
    try:
        sys.stdout.flush()
    except OSError:
        _let_go(sys.stdout.fileno())


def _let_go(fd: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
