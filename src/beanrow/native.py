"""Words that mypyc reads: how wide a number is, and what a class is like.

They are those of `mypy_extensions`, which is needed for checking and compiling alone. Run as it is,
the source knows nothing but int, and its classes are like all others.

An attribute of a type from here lies in the object itself: no object of its own, no reference. An
int that does not fit is refused with OverflowError when it comes in, but sums and products wrap
around. So these types are for what has limits of its own: counts, ids below 2^63, moments.
"""

from typing import TYPE_CHECKING

__all__ = ["i32", "i64", "mypyc_attr", "u8"]

if TYPE_CHECKING:
    from mypy_extensions import i32, i64, mypyc_attr, u8
else:
    i32 = i64 = u8 = int

    def mypyc_attr(*_, **__):
        """Leave a class as it is."""
        return lambda decorated: decorated
