"""Who has to be looked at when: the moments that the engine waits for.

The strategy. A node is filed once, under a moment that is *never later* than the true one. An
earlier moment moves it forward at once, a later one does not move it back: when the old moment
comes, whoever takes it out finds nothing due and files it anew. A reserve and its delete thus
cost one comparison each instead of two walks through a heap.
"""

from __future__ import annotations

from typing import Final

from beanrow.engine.heap import OUTSIDE, Heap, HeapNode

#: A moment that does not come.
NEVER_NS: Final = (1 << 62) - 1


class Timers:
    """Nodes by the moment at which they want attention, in nanoseconds."""

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: Heap[HeapNode] = Heap()

    def arm(self, node: HeapNode, tie: int, due_ns: int) -> None:
        """See that the node is taken out at that moment, or earlier.

        Of those that want the same moment, the one with the smallest `tie` is taken out first.
        """
        if node.heap_index == OUTSIDE:
            self._heap.push(node, due_ns, tie)
        elif due_ns < node.rank:
            self._heap.move(node, due_ns)

    def disarm(self, node: HeapNode) -> None:
        """Forget the node, if it is known."""
        if node.heap_index != OUTSIDE:
            self._heap.remove(node)

    def next_ns(self) -> int:
        """The moment for which the first node is filed; `NEVER_NS` without any."""
        nodes = self._heap.nodes
        if nodes:  # no conditional expression: mypyc would make an object of the number
            return nodes[0].rank
        return NEVER_NS

    def take(self, now_ns: int) -> HeapNode | None:
        """Take out the first node whose moment has come."""
        nodes = self._heap.nodes
        return self._heap.pop() if nodes and nodes[0].rank <= now_ns else None
