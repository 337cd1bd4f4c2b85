"""What can go wrong before there is a measurement."""

from beanrow.errors import BeanrowError


class LoadError(BeanrowError):
    """The load generator cannot be made or has failed; the text is one line that says why."""
