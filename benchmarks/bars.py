"""What is asked of beanrow, beside beanstalkd: the ratio of the rates that each case must reach."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """A ratio beanrow / beanstalkd: at least so much, and what is hoped for beyond, if anything."""

    least: float
    goal: float | None = None

    def verdict(self, ratio: float) -> str:
        """In a word, or two."""
        if self.goal is not None and ratio >= self.goal:
            return "the goal"
        return "reached" if ratio >= self.least else "**missed**"


USUAL = Bar(1.05, 1.3)
ALONE = Bar(0.95, 1.0)  # one command in flight: both wait for the scheduler
LARGE = Bar(1.0, 1.3)

BARS = {
    "put-1": ALONE,
    "cycle-1": ALONE,
    "put-50": USUAL,
    "cycle-50": USUAL,
    "put-500": USUAL,
    "cycle-500": USUAL,
    "put-5000": Bar(1.05),
    "cycle-5000": Bar(1.05),
    "put-pipelined": Bar(3.5, 8.0),
    "cycle-pipelined": Bar(5.0, 8.0),
    "put-64k": LARGE,
    "cycle-64k": LARGE,
    "cycle-1k-tubes": Bar(1.6),
    "cycle-10k-tubes": Bar(10.0),
    "put-50-f0": Bar(5.0, 10.0),
}

#: The p99 of `latency-half`, by beanstalkd's.
MOST_P99_RATIO = 1.0
#: The resident bytes of a ready job of 100 bytes, by beanstalkd's.
MOST_MEMORY_RATIO = 1.15
#: What the server holds when all jobs are deleted, by what it held when it was empty.
MOST_EMPTIED_RATIO = 1.2
