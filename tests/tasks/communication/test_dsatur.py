"""Are the quick colourings proper, and within their theorems?"""

import networkx as nx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from data.schemas.transfers import Transfer
from tasks.communication.conflict_graph import Conflicts, conflicts_of
from tasks.communication.dsatur import dsatur, first_fit

ENDS = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda pair: pair[0] != pair[1]), min_size=1, max_size=40
)


def graph_of(pairs: list[tuple[int, int]], uses: int = 3) -> Conflicts:
    """Return the conflicts of transfers between ``pairs``; the k-th holds rail ``k % uses``."""
    return conflicts_of([Transfer(f"a{u}", f"b{v}", 1.0, 1.0, (f"rail{k % uses}",)) for k, (u, v) in enumerate(pairs)])


def proper(conflicts: Conflicts, colour: np.ndarray) -> bool:
    return all(colour[v] not in colour[conflicts.of(v)] for v in range(colour.size))


@settings(max_examples=30)
@given(ENDS)
def test_first_fit_and_dsatur_are_proper_and_need_at_most_the_degree_plus_one(pairs: list[tuple[int, int]]) -> None:
    conflicts = graph_of(pairs)
    for colour in (first_fit(conflicts, np.arange(len(pairs))[::-1]), dsatur(conflicts)):
        assert proper(conflicts, colour)
        assert colour.max() <= conflicts.degrees.max()


def test_dsatur_is_exact_on_bipartite_conflicts(rng: np.random.Generator) -> None:
    # Brelaz's theorem: two colours where two are enough
    tree = nx.random_labeled_tree(40, seed=3)
    first, neighbour = [0], []
    for v in range(40):
        neighbour += sorted(tree[v])
        first.append(len(neighbour))
    conflicts = Conflicts(np.array(first), np.array(neighbour), ())
    assert dsatur(conflicts).max() == 1


def test_half_duplex_ports_conflict_where_full_ones_do_not() -> None:
    there_and_on = [Transfer("a", "b", 1.0, 1.0), Transfer("b", "c", 1.0, 1.0)]
    assert conflicts_of(there_and_on).pairs == 0
    assert conflicts_of(there_and_on, "half").pairs == 1
