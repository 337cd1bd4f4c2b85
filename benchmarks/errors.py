"""The one error of this package: no measurement is possible, and why."""


class BenchmarkError(Exception):
    """Something that makes a measurement impossible; its text is one line for a person."""
