"""Is a crossbar scheduled in as few rounds as its busiest port needs?"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.communication.edge_colouring import edge_colouring, largest_degree


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5)), max_size=60))
def test_the_largest_degree_is_enough_for_any_multigraph(edges: list[tuple[int, int]]) -> None:
    source = np.array([u for u, _ in edges], np.int64)
    target = np.array([v for _, v in edges], np.int64)
    colour = edge_colouring(source, target)
    for ends in (source, target):
        assert len(set(zip(ends.tolist(), colour.tolist(), strict=True))) == len(edges)
    assert set(colour.tolist()) <= set(range(largest_degree(source, target)))


def test_all_to_all_of_an_nvl72_rack_takes_71_rounds(rng: np.random.Generator) -> None:
    source, target = np.nonzero(~np.eye(72, dtype=bool))
    order = rng.permutation(source.size)
    colour = edge_colouring(source[order], target[order])
    assert np.bincount(colour).tolist() == [72] * 71


def test_wrong_edges_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected shape \(edges,\)"):
        edge_colouring(np.zeros(2, np.int64), np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="numbers from 0"):
        edge_colouring(np.array([-1]), np.array([0]))
