"""Which changes of an expert map does a window hold, and what do they cost together?

A draft carries its terms by layer, so a change costs as much to price as its own layer does.
"""

from dataclasses import dataclass

import numpy as np

from tasks.problems.moves import fusion_window
from tasks.problems.protocol import Window
from tasks.problems.routing_costs import layer_cost, layer_costs
from tasks.problems.routing_kernel import replay, state_of
from tasks.problems.routing_proposals import sample
from tasks.problems.routing_search import summed
from tasks.problems.routing_state import Floats, Integers, Layout, State


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A map inside a window, its shares, ``(layers, slots)`` both, and the terms of ``layer_costs``."""

    expert_of: Integers
    shares: Floats
    terms: Floats


@dataclass(frozen=True, slots=True)
class Move:
    """A change of one layer: ``slot`` swaps with ``other``, or takes ``expert`` where ``other`` is -1."""

    layer: int
    slot: int
    other: int
    expert: int
    before: tuple[int, int]  # what the slots hold; the second is -1 without ``other``


def draft_window(
    layout: Layout, expert_of: Integers, shares: Floats, budget: int, size: int, rng: np.random.Generator
) -> Window[Draft]:
    """Return the window of promising changes of a feasible map, ``(layers, slots)``.

    Args:
        layout: the deployment.
        expert_of: the map.
        shares: share of its expert's tokens that each slot takes, ``(layers, slots)``. Slots that swap exchange
            theirs; the experts of a slot that is overwritten are split evenly again.
        budget: replicas that may be moved.
        size: changes at most.
        rng: all chance.
    """
    draft = Draft(expert_of, shares, layer_costs(layout, expert_of, shares))
    moves = _promising(layout, draft, budget, size, rng)
    return fusion_window(
        draft, moves, lambda at, move: _applied(layout, at, move, budget), lambda at: summed(layout, at.terms)
    )


def refreshed(layout: Layout, expert_of: Integers, shares: Floats, terms: Floats, layer: int) -> Floats:
    """Return the terms after a change of one layer: its own, and the crossings of the layer before into it."""
    after = terms.copy()
    after[:, layer] = layer_cost(layout, expert_of, shares, layer)
    if layer:
        after[2, layer - 1] = layer_cost(layout, expert_of, shares, layer - 1)[2]
    return after


def _promising(layout: Layout, draft: Draft, budget: int, size: int, rng: np.random.Generator) -> list[Move]:
    """Return changes that cost little, in a few layers so that they matter to one another.

    Where the budget is used up, some give back, and go first so that those that spend find it.
    """
    losing = draft.terms[0] + draft.terms[2] + np.concatenate([[0.0], draft.terms[2, :-1]])
    losing += layout.stray_weight * draft.terms[3]
    if layout.domain.size < 2 or not losing.any():
        return []
    state = state_of(layout, draft.expert_of)
    left = budget - int(draft.terms[1].sum())
    changes, costs = _drawn(layout, state, losing, size, rng)
    if left >= size:
        return _chosen(draft, changes, costs, size, rng)
    held, held_costs = _drawn(layout, state, draft.terms[1], 4 * size, rng)
    changes, costs = np.concatenate([changes, held]), np.concatenate([costs, held_costs])
    moved = changes[:, 4]
    frees = _chosen(draft, changes[moved < 0], costs[moved < 0], size // 3, rng)
    spends = _chosen(draft, changes[moved > 0], costs[moved > 0], size // 3 if frees else 0, rng)
    neutral = _chosen(draft, changes[moved == 0], costs[moved == 0], size - len(frees) - len(spends), rng)
    return frees + spends + neutral


def _drawn(
    layout: Layout, state: State, weights: Floats, size: int, rng: np.random.Generator
) -> tuple[Integers, Floats]:
    """Return many changes of a few layers drawn by weight, and their exact changes in cost."""
    few = min(int(np.count_nonzero(weights)), 1 + size // 8)
    if not few:
        return np.zeros((0, 5), np.int64), np.zeros(0)
    layers = rng.choice(weights.size, few, replace=False, p=weights / weights.sum())
    changes, costs = sample(layout, state, rng.choice(layers, 64 * size).astype(np.int64), rng)
    return changes, costs


def _chosen(draft: Draft, changes: Integers, costs: Floats, size: int, rng: np.random.Generator) -> list[Move]:
    """Return the ``size`` best changes that differ, with some chance for the others."""
    if not costs.size or size < 1:
        return []
    scale = float(np.abs(np.sort(costs)[: 2 * size]).mean())
    chosen: dict[tuple[int, ...], Move] = {}
    for index in np.argsort(costs - scale * rng.gumbel(0.0, 1.0, costs.size), kind="stable"):
        layer, slot, other, expert, _ = changes[index].tolist()
        row = draft.expert_of[layer]
        held = (int(row[slot]), int(row[other]) if other >= 0 else -1)
        key = (layer, min(slot, other), max(slot, other), expert)
        chosen.setdefault(key, Move(layer, slot, other, expert, held))
        if len(chosen) == size:
            break
    return list(chosen.values())


def _applied(layout: Layout, draft: Draft, move: Move, budget: int) -> Draft | None:
    row = draft.expert_of[move.layer]
    held = (int(row[move.slot]), int(row[move.other]) if move.other >= 0 else -1)
    if held != move.before or (move.other < 0 and np.count_nonzero(row == held[0]) < 2):
        return None
    expert_of, shares = draft.expert_of.copy(), draft.shares.copy()
    replay(expert_of, move.layer, np.array([[move.slot, move.other, move.expert]]))
    if move.other >= 0:
        pair = [move.slot, move.other]
        shares[move.layer, pair] = shares[move.layer, pair[::-1]]
    else:
        for expert in (held[0], move.expert):
            replicas = expert_of[move.layer] == expert
            shares[move.layer, replicas] = 1.0 / np.count_nonzero(replicas)
    terms = refreshed(layout, expert_of, shares, draft.terms, move.layer)
    return Draft(expert_of, shares, terms) if terms[1].sum() <= budget else None
