"""What all pictures have in common: colours, style, and the same file for the same figures.

They are drawn with matplotlib: `.venv/bin/pip install -e '.[bench]'`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BEANSTALKD_COLOR = "#b8b2a7"
BEANROW_COLOR = "#2f6f4f"
REDIS_COLOR = "#7a6a9b"
BOUND_COLOR = "#b03a2e"

STYLE: dict[Any, Any] = {  # matplotlib's keys are literals, where it is there to tell
    "svg.hashsalt": "beanrow",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@contextmanager
def picture(
    target: Path, title: str, widths: Sequence[float], height: float, width: float = 11
) -> Iterator[Sequence[Any]]:
    """A row of plots, which is written to an SVG in the end; gives their axes. Sizes in inches."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context(STYLE):
        figure, row = pyplot.subplots(
            1,
            len(widths),
            figsize=(width, height),
            width_ratios=widths,
            layout="constrained",
            squeeze=False,
        )
        yield row[0]
        figure.savefig(target, metadata={"Date": None, "Title": title})
        pyplot.close(figure)
