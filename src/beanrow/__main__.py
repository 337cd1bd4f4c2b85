"""`python -m beanrow` is the `beanrow` command."""

import sys

from beanrow.cli import main

if __name__ == "__main__":
    sys.exit(main())
