"""A heap gives its smallest node first, and any node on demand."""

import pytest

from beanrow.engine.heap import OUTSIDE, Heap, HeapNode


def filled(*ranks: int) -> tuple[Heap[HeapNode], list[HeapNode]]:
    """A heap with nodes of these ranks, whose ties are 0, 1, 2..."""
    heap: Heap[HeapNode] = Heap()
    nodes = [HeapNode() for _ in ranks]
    for tie, (node, rank) in enumerate(zip(nodes, ranks, strict=True)):
        heap.push(node, rank, tie)
    return heap, nodes


def ties_out_of(heap: Heap[HeapNode]) -> list[int]:
    return [heap.pop().tie for _ in list(heap.nodes)]


def test_the_smallest_rank_comes_first() -> None:
    heap, _ = filled(3, 1, 2, -5)
    assert ties_out_of(heap) == [3, 1, 2, 0]


def test_of_equal_ranks_the_smallest_tie_comes_first() -> None:
    heap, _ = filled(7, 7, 7, 7, 7)
    assert ties_out_of(heap) == [0, 1, 2, 3, 4]


def test_a_node_can_be_taken_from_anywhere() -> None:
    for gone in range(20):
        heap, nodes = filled(*(rank * 7 % 20 for rank in range(20)))
        heap.remove(nodes[gone])
        left = sorted((node for node in nodes if node.tie != gone), key=lambda node: node.rank)
        assert ties_out_of(heap) == [node.tie for node in left]


def test_a_node_can_be_given_another_rank() -> None:
    heap, nodes = filled(10, 20, 30)
    heap.move(nodes[2], 5)
    assert heap.nodes[0] is nodes[2]
    heap.move(nodes[2], 15)
    assert ties_out_of(heap) == [0, 2, 1]


def test_a_node_knows_whether_it_is_in_a_heap() -> None:
    heap, (node,) = filled(1)
    assert node.heap_index == 0
    heap.remove(node)
    assert node.heap_index == OUTSIDE
    heap.push(node, 2, 0)
    assert heap.pop() is node
    assert node.heap_index == OUTSIDE


def test_a_node_is_in_one_heap_at_a_time() -> None:
    _, (node,) = filled(1)
    other: Heap[HeapNode] = Heap()
    with pytest.raises(AssertionError, match="one heap at a time"):
        other.push(node, 1, 0)


def test_what_is_in_another_heap_can_not_be_removed() -> None:
    heap, _ = filled(1)
    _, (stranger,) = filled(1)
    with pytest.raises(AssertionError, match="not in this heap"):
        heap.remove(stranger)
