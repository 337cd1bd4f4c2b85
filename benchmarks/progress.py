"""Telling a person how far the run is, on stderr."""

import sys
import time


class Progress:
    """Counts steps; on a terminal it rewrites one line, elsewhere it writes a line a step."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._done = 0
        self._started_s = time.monotonic()
        self._on_terminal = sys.stderr.isatty()

    def announce(self, text: str) -> None:
        """Say what is under way, on a terminal only: elsewhere the finished steps suffice."""
        if self._on_terminal:
            self._rewrite(f"{self._position()} {text} ...")

    def finish_step(self, text: str) -> None:
        """Count one step as done and say what came out."""
        self._done += 1
        line = f"{self._position()} {text}{self._time_left()}"
        if self._on_terminal:
            self._rewrite(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the terminal with an empty line, ready for the table."""
        if self._on_terminal:
            self._rewrite("")

    def _position(self) -> str:
        return f"[{self._done:>{len(str(self._steps))}}/{self._steps}]"

    def _time_left(self) -> str:
        """Assume that the steps to come take as long as those done so far."""
        passed_s = time.monotonic() - self._started_s
        left_s = round(passed_s / self._done * (self._steps - self._done))
        return f"; about {left_s // 60}m{left_s % 60:02d}s left" if left_s else ""

    @staticmethod
    def _rewrite(line: str) -> None:
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
