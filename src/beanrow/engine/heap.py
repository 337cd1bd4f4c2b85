"""An indexed binary heap: the smallest node first, any node removable in O(log n).

Everything that the engine keeps in order stands in one of these: the ready jobs of a tube by
priority, its delayed jobs by due time, the reserved jobs of a session by deadline, and the
tubes and sessions that wait for a moment by that moment. A node is in one heap at a time, so
it carries its own place, and taking it out of the middle needs no search. There can be 2^31 - 1 of
them, of which each has more than a hundred bytes.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from beanrow.native import i32, i64, mypyc_attr

OUTSIDE: Final = -1


@mypyc_attr(acyclic=True)
class HeapNode:
    """What a heap holds: ordered by ``rank``, and of equal rank by ``tie``.

    ``rank`` means what the heap sorts by (a priority, or a time in nanoseconds); it and ``tie``
    are set by the heap. ``heap_index`` is the node's place, `OUTSIDE` when it is in none.
    """

    __slots__ = ("heap_index", "rank", "tie")

    def __init__(self) -> None:
        self.rank: i64 = 0
        self.tie: i64 = 0
        self.heap_index: i32 = OUTSIDE


N = TypeVar("N", bound=HeapNode)


class Heap(Generic[N]):
    """The smallest of its nodes in O(1); push, pop, remove and move in O(log n)."""

    __slots__ = ("nodes",)

    def __init__(self) -> None:
        #: The nodes in heap order: the first is the smallest. For reading only.
        self.nodes: list[N] = []

    def push(self, node: N, rank: i64, tie: i64) -> None:
        """Add a node that is in no heap."""
        assert node.heap_index == OUTSIDE, "a node is in one heap at a time"
        node.rank = rank
        node.tie = tie
        self.nodes.append(node)
        self._rise(node, len(self.nodes) - 1)

    def pop(self) -> N:
        """Take out the smallest node; the heap must not be empty."""
        nodes = self.nodes
        smallest = nodes[0]
        last = nodes.pop()
        if nodes:
            self._sink(last, 0)
        smallest.heap_index = OUTSIDE
        return smallest

    def remove(self, node: N) -> None:
        """Take out a node of this heap, wherever it stands."""
        index = node.heap_index
        nodes = self.nodes
        assert nodes[index] is node, "the node is not in this heap"
        if index == 0:
            self.pop()
            return
        last = nodes.pop()
        if last is not node:
            self._settle(last, index)
        node.heap_index = OUTSIDE

    def move(self, node: N, rank: i64) -> None:
        """Give a node of this heap another rank."""
        node.rank = rank
        self._settle(node, node.heap_index)

    def _settle(self, node: N, index: i32) -> None:
        """Put a node into the gap at `index`, then wherever its rank takes it."""
        self._rise(node, index)
        if node.heap_index == index:
            self._sink(node, index)

    def _rise(self, node: N, index: i32) -> None:
        nodes = self.nodes
        rank = node.rank
        while index > 0:
            above = (index - 1) >> 1
            parent = nodes[above]
            if parent.rank < rank or (parent.rank == rank and parent.tie < node.tie):
                break
            nodes[index] = parent
            parent.heap_index = index
            index = above
        nodes[index] = node
        node.heap_index = index

    def _sink(self, node: N, index: i32) -> None:
        # The node comes from the end of the heap and belongs near it: so the gap goes all the
        # way down without a look at the node, which then rises a step or two if it must.
        nodes = self.nodes
        size: i32 = len(nodes)
        below = 2 * index + 1
        while below < size:
            child = nodes[below]
            if below + 1 < size:
                other = nodes[below + 1]
                if other.rank < child.rank or (other.rank == child.rank and other.tie < child.tie):
                    child = other
                    below += 1
            nodes[index] = child
            child.heap_index = index
            index = below
            below = 2 * index + 1
        self._rise(node, index)
