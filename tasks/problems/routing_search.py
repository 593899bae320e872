"""How is an expert map searched? Descents of each layer, the budget dealt out among them, then annealing.

A descent relieves the fullest rank again and again, so its prefixes offer ever better balance for ever more moved
replicas. A few descents per layer, each looking at a random share of the changes, and a fresh map offer the choices;
the migration budget goes to the steepest of them over all layers (the greedy rule for the multiple-choice knapsack;
Sinha and Zoltners 1979, doi 10.1287/opre.27.3.503). Annealing with exact differences does the rest.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.problems.routing_anneal import anneal
from tasks.problems.routing_costs import even_shares, layer_costs
from tasks.problems.routing_descent import descend
from tasks.problems.routing_kernel import replay, state_of
from tasks.problems.routing_start import fresh_map
from tasks.problems.routing_state import UNCHANGED, Floats, Integers, Layout

LARGEST_SHARE = 0.3
"""Share of the fullest rank's changes that a descent looks at: several such descents beat one that looks at all."""

SMALLEST_SHARE = 0.02
"""The same where evaluations are few."""

DESCENT_EFFORT = 0.6
"""Share of the evaluations that descents may use; half as many where tokens cross, which descents do not see."""

HOT = 0.01
"""First temperature, as a share of the mean loss of a layer; twice as hot where tokens cross."""

COLD = 0.03
"""Last temperature, as a share of the first."""

COOLINGS = (1.0, 100.0, 10.0)
"""How much hotter each cooling starts, from the best so far. Only the first, where evaluations are few per slot."""

COOLING_SHARES = (0.85, 0.5, 1.0)
"""Share of the evaluations left that each cooling uses."""

PLENTY = 100
"""Evaluations per slot from which all coolings are run."""

DESCENTS = 32
"""Descents per layer at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Ways to change one layer: prefixes of a list of changes.

    Args:
        steps: changes (slot, other or -1, expert, ...), ``(steps, at least 3)``.
        until: steps of each prefix, ``(prefixes,)``.
        moved: replicas moved in the layer after each prefix, ``(prefixes,)``.
        cost: change in cost since the start after each prefix, ``(prefixes,)``.
    """

    steps: Integers
    until: Integers
    moved: Integers
    cost: Floats


def search_map(
    layout: Layout, start: Integers, budget: int, evaluations: int, rng: np.random.Generator
) -> tuple[Integers, int, int]:
    """Return the best map found from ``start``, ``(layers, slots)``, evaluations used, and times the best improved."""
    active = np.flatnonzero(layout.loaded | (start != layout.in_force).any(axis=1) | _routed(layout))
    if not active.size or layout.domain.size < 2 or evaluations < 1:
        return start, 0, 0
    routed = layout.out_expert.size > 0 or layout.stray_weight > 0.0
    effort = int(DESCENT_EFFORT * evaluations / (2 if routed else 1))
    loaded = active[layout.loaded[active]]
    options, used = _first_choices(layout, start, loaded, budget, effort, rng)
    best = _cheaper(layout, deal(layout, start, options, budget), start)
    options, more = _swap_choices(layout, best, loaded, (evaluations - used) // 2, rng)
    used += more
    best = _cheaper(layout, deal(layout, best, options, budget), best)
    total = int(best is not start)
    coolings = COOLINGS if evaluations >= PLENTY * active.size * start.shape[1] else COOLINGS[:1]
    for hotter, part in zip(coolings, COOLING_SHARES, strict=False):
        terms = even_costs(layout, best)
        lost = terms[0] + terms[2] + layout.stray_weight * terms[3]
        hot = max(1e-6, (2 if routed else 1) * HOT * hotter * float(lost[active].mean()))
        tries = evaluations - used if len(coolings) == 1 else int(part * (evaluations - used))
        best, accepted = anneal(layout, state_of(layout, best), active, budget, tries, hot, COLD * hot, rng)
        used += tries
        total += int(accepted)
    return best, used, total


def even_costs(layout: Layout, placement: Integers) -> Floats:
    """Return the terms of :func:`layer_costs` of a map whose replicas take equal shares."""
    return np.asarray(layer_costs(layout, placement, even_shares(placement, layout.loads.shape[1])))


def total_cost(layout: Layout, placement: Integers) -> float:
    """Return the exact cost of a map, ``(layers, slots)``, whose replicas take equal shares."""
    return summed(layout, even_costs(layout, placement))


def _cheaper(layout: Layout, candidate: Integers, best: Integers) -> Integers:
    return candidate if total_cost(layout, candidate) < total_cost(layout, best) else best


def summed(layout: Layout, terms: Floats) -> float:
    """Return the cost whose terms by layer are imbalance, moved replicas, crossings and strays, ``(4, layers)``."""
    strays = layout.stray_weight * terms[3].sum()
    return float(terms[0].sum() + layout.move_weight * terms[1].sum() + terms[2].sum() + strays)


def _routed(layout: Layout) -> npt.NDArray[np.bool_]:
    """Return which layers have transitions in or out, ``(layers,)``."""
    experts = layout.loads.shape[1]
    leads, follows = (np.diff(start[::experts]) > 0 for start in (layout.out_start, layout.in_start))
    return np.asarray(leads | follows)


def _first_choices(
    layout: Layout, start: Integers, loaded: Integers, budget: int, evaluations: int, rng: np.random.Generator
) -> tuple[dict[int, list[Choice]], int]:
    """Return for each layer what a fresh map and several descents offer, and the evaluations used."""
    slots = start.shape[1]
    options: dict[int, list[Choice]] = {layer: [] for layer in loaded.tolist()}
    used = 0
    whole = loaded.size * slots
    if budget >= whole // 4 and evaluations >= 1.5 * whole:  # else hardly any layer could take it
        used += whole + _offer_fresh(layout, start, options, evaluations // 3, rng)
    longest = min(slots, 16 + 4 * budget // max(1, loaded.size))
    likely = min(slots / 3, 1.0 + budget / max(1, loaded.size))  # steps until the budget or the gains run out
    share = evaluations / max(1.0, 1.5 * loaded.size * likely * layout.per_rank * slots)
    share = min(LARGEST_SHARE, max(SMALLEST_SHARE, share))
    for _ in range(DESCENTS):
        more = _offer_descents(layout, start, options, (share, False), longest, evaluations - used, rng)
        used += more
        if more < loaded.size or used >= evaluations:
            break
    return options, used


def _swap_choices(
    layout: Layout, start: Integers, loaded: Integers, evaluations: int, rng: np.random.Generator
) -> tuple[dict[int, list[Choice]], int]:
    """Return for each layer what swaps offer, and the evaluations used."""
    options: dict[int, list[Choice]] = {layer: [] for layer in loaded.tolist()}
    return options, _offer_descents(layout, start, options, (1.0, True), start.shape[1], evaluations, rng)


def _offer_fresh(
    layout: Layout, start: Integers, options: dict[int, list[Choice]], evaluations: int, rng: np.random.Generator
) -> int:
    """Add a fresh row, swapped until no swap helps, to the choices of each layer; return the evaluations used."""
    slots = start.shape[1]
    fresh = fresh_map(layout.mean_loads, layout.in_force, layout.slowness)
    swaps: dict[int, list[Choice]] = {layer: [] for layer in options}
    used = _offer_descents(layout, fresh, swaps, (1.0, True), slots, evaluations, rng)
    for layer, (choice,) in swaps.items():
        replay(fresh, layer, choice.steps)
    terms = even_costs(layout, fresh)
    change = terms - even_costs(layout, start)
    cost = change[0] + layout.move_weight * change[1] + layout.stray_weight * change[3]
    moved = terms[1].astype(np.int64)
    for layer in options:
        steps = np.stack([np.arange(slots), np.full(slots, -1), fresh[layer]], axis=1)
        options[layer].append(Choice(steps, np.array([slots]), moved[[layer]], cost[[layer]]))
    return used


def _offer_descents(
    layout: Layout,
    start: Integers,
    options: dict[int, list[Choice]],
    kind: tuple[float, bool],
    longest: int,
    evaluations: int,
    rng: np.random.Generator,
) -> int:
    """Add a descent from ``start`` to the choices of each layer; return the evaluations used.

    ``kind`` is the share of the changes that the descent looks at, and whether it only swaps.
    """
    state = state_of(layout, start)
    order = sorted(options, key=lambda layer: -state.rank_time[layer].max())
    used = 0
    for position, layer in enumerate(order):
        steps, costs = np.zeros((longest, 4), np.int64), np.zeros(longest)
        allowance = max(0, evaluations - used) // (len(order) - position)
        made, evaluated = descend(layout, state, layer, *kind, allowance, steps, costs, rng)
        used += evaluated
        options[layer].append(Choice(steps[:made], np.arange(1, made + 1), steps[:made, 3], costs[:made]))
    return used


def deal(layout: Layout, start: Integers, options: dict[int, list[Choice]], budget: int) -> Integers:
    """Return ``start`` with the choices made that gain most per moved replica, as far as the budget goes."""
    held = even_costs(layout, start)[1].astype(np.int64)
    left = budget - int(held.sum())
    slopes = {layer: _Slopes(choices, int(held[layer])) for layer, choices in options.items()}
    best = {layer: slope.steepest(left) for layer, slope in slopes.items()}
    while best:
        layer = min(best, key=lambda key: (best[key], key))
        if best[layer] >= 0.0:
            break
        left -= slopes[layer].take(left)
        best[layer] = slopes[layer].steepest(left)
    result = start.copy()
    for layer, slope in slopes.items():
        if slope.taken >= 0:
            choice = options[layer][slope.choice[slope.taken]]
            replay(result, layer, choice.steps[: slope.until[slope.taken]])
    return result


class _Slopes:
    """The choices of one layer, and which of them is taken; budgets only shrink, so what fits must be asked anew."""

    def __init__(self, choices: list[Choice], moved: int) -> None:
        self.moved = np.concatenate([choice.moved for choice in choices])
        self.cost = np.concatenate([choice.cost for choice in choices])
        self.until = np.concatenate([choice.until for choice in choices])
        self.choice = np.repeat(np.arange(len(choices)), [choice.cost.size for choice in choices])
        self.taken = -1
        self.now = (moved, 0.0)

    def steepest(self, left: int) -> float:
        """Return the lowest change in cost per further moved replica that ``left`` replicas allow; 0 for none."""
        slope = self._slopes(left)
        return float(slope.min()) if slope.size else 0.0

    def take(self, left: int) -> int:
        """Take the steepest choice, if it fits, and return the replicas that it moves beyond those moved so far."""
        slope = self._slopes(left)
        index = int(np.argmin(slope))
        if slope[index] >= 0.0:
            return 0
        more = int(self.moved[index]) - self.now[0]
        self.taken, self.now = index, (int(self.moved[index]), float(self.cost[index]))
        return more

    def _slopes(self, left: int) -> Floats:
        more = self.moved - self.now[0]
        gain = self.cost - self.now[1]
        return np.where((more <= left) & (gain < -UNCHANGED), gain / np.maximum(more, 0.5), 0.0)
