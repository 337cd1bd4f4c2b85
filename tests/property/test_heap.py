"""A heap gives what a sorted list gives, after any pushes, pops, removals and moves."""

from hypothesis import given
from hypothesis import strategies as st

from beanrow.engine.heap import OUTSIDE, Heap, HeapNode
from tests.property.soundness import check_heap

# Few ranks, so that many nodes share one and their ties decide.
ranks = st.one_of(st.integers(0, 3), st.integers(-(2**62), 2**62))
steps = st.lists(
    st.tuples(st.sampled_from(["push", "push", "pop", "remove", "move"]), st.integers(0), ranks),
    max_size=200,
)


@given(steps)
def test_a_heap_is_a_sorted_list(steps: list[tuple[str, int, int]]) -> None:
    heap: Heap[HeapNode] = Heap()
    inside: list[HeapNode] = []
    for number, (step, pick, rank) in enumerate(steps):
        if step == "push":
            node = HeapNode()
            # Ties that do not come in order.
            heap.push(node, rank, number * 7919 % 1009)
            inside.append(node)
        elif not inside:
            continue
        elif step == "pop":
            node = heap.pop()
            assert node is inside.pop(0)
            assert node.heap_index == OUTSIDE
        else:
            node = inside[pick % len(inside)]
            if step == "move":
                heap.move(node, rank)
                assert node.rank == rank
            else:
                heap.remove(node)
                inside.remove(node)
                assert node.heap_index == OUTSIDE
        inside.sort(key=lambda node: (node.rank, node.tie))
        check_heap(heap)
        assert heap.nodes[:1] == inside[:1]
    assert [heap.pop() for _ in inside] == inside
    assert heap.nodes == []
