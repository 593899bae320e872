"""How are expert maps annealed? Proposals, exact differences, and the best map seen."""

import numpy as np

from tasks.problems.routing_compiled import inner, outer
from tasks.problems.routing_differences import overwrite_change, swap_change
from tasks.problems.routing_kernel import change_slots
from tasks.problems.routing_proposals import propose
from tasks.problems.routing_state import UNCHANGED, Integers, Layout, State


@outer
def anneal(
    layout: Layout,
    state: State,
    active: Integers,
    budget: int,
    evaluations: int,
    hot: float,
    cold: float,
    rng: np.random.Generator,
) -> tuple[Integers, int]:
    """Anneal from ``state`` (Kirkpatrick et al. 1983, doi 10.1126/science.220.4598.671), which it changes.

    Args:
        layout: the deployment.
        state: where it starts.
        active: layers to work on.
        budget: moved replicas allowed.
        evaluations: changes to evaluate.
        hot: first temperature, in cost units.
        cold: last temperature.
        rng: all chance.

    Returns:
        The best map seen, ``(layers, slots)``, and how often the best improved.
    """
    best = state.slots.copy()
    stale = np.zeros(state.slots.shape[0], np.bool_)  # layers where the best map and the state may differ
    total, lowest, moved, accepted = 0.0, 0.0, total_moved(state), 0
    cooling = (cold / hot) ** (1.0 / max(1, evaluations))
    temperature = hot
    for _ in range(evaluations):
        temperature *= cooling
        layer = active[int(rng.random() * active.size)]
        slot, other, expert = propose(layout, state, layer, rng)
        if slot < 0:
            continue
        if other >= 0:
            change, more = swap_change(layout, state, layer, slot, other)
        else:
            change, more = overwrite_change(layout, state, layer, slot, expert)
        if more > 0 and moved + more > budget:
            continue
        if change > 0.0 and rng.random() >= np.exp(-change / temperature):
            continue
        change_slots(layout, state, layer, slot, other, expert)
        moved += more
        total += change
        stale[layer] = True
        if total < lowest - UNCHANGED:
            lowest = total
            accepted += 1
            for touched in active:
                if stale[touched]:
                    best[touched] = state.slots[touched]
                    stale[touched] = False
    return best, accepted


@inner
def total_moved(state: State) -> int:
    """Return the moved replicas of all layers."""
    moved = 0
    for layer in range(state.moved.size):
        moved += state.moved[layer]
    return moved
