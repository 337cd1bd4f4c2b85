"""Which build of beanrow is running: compiled, or interpreted from the source.

This module is compiled together with the others and looks at itself, so it cannot be wrong.
"""

from importlib.machinery import EXTENSION_SUFFIXES
from typing import Final

from beanrow import __version__

COMPILED: Final = __file__.endswith(tuple(EXTENSION_SUFFIXES))

#: The same in a word, for people and logs.
BUILD: Final = "compiled" if COMPILED else "interpreted"

#: What `--version` prints.
VERSION_LINE: Final = f"beanrow {__version__} ({BUILD})"
