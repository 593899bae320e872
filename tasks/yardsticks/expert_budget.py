"""What is left of a balancer's map when only so many experts may move? The strongest way there that we know of.

A balancer such as EPLB answers with a whole new map. To compare at equal moves, its map is first laid over the one in
force so that few experts move (linear assignment of its packs to ranks; Crouse 2016, doi 10.1109/TAES.2016.140952).
In each layer, experts then change towards it one by one, always the change that leaves the fullest rank lightest, and
the budget goes to the layers where a move saves most (the greedy rule for the multiple-choice knapsack; Sinha and
Zoltners 1979, doi 10.1287/opre.27.3.503).
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def held(placement: Integers, ranks: int, experts: int) -> Integers:
    """Return the replicas of each expert on each rank, ``(layers, ranks, experts)``."""
    layers, slots = placement.shape
    result = np.zeros((layers, ranks, experts), dtype=np.int64)
    rank = np.broadcast_to(np.arange(slots) // (slots // ranks), placement.shape)
    np.add.at(result, (np.arange(layers)[:, None], rank, placement), 1)
    return result


def moved_experts(before: Integers, after: Integers, ranks: int) -> int:
    """Return the replicas that some rank must load; one that reorders its own slots loads none."""
    experts = int(max(before.max(), after.max())) + 1
    return int(np.maximum(held(after, ranks, experts) - held(before, ranks, experts), 0).sum())


def aligned(target: Integers, in_force: Integers, ranks: int) -> Integers:
    """Return ``target``, ``(layers, slots)``, with its ranks renamed so that as few experts as possible move."""
    experts = int(max(target.max(), in_force.max())) + 1
    result = np.empty_like(target)
    pairs = zip(held(target, ranks, experts), held(in_force, ranks, experts), strict=True)
    for layer, (wanted, there) in enumerate(pairs):
        common = np.minimum(wanted[:, None, :], there[None, :, :]).sum(axis=2)
        packs, places = linear_sum_assignment(common, maximize=True)
        result[layer].reshape(ranks, -1)[places] = target[layer].reshape(ranks, -1)[packs]
    return result


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """Changes of one layer towards a balancer's map.

    Args:
        steps: rank, expert removed and expert added, ``(steps, 3)``.
        peaks: load of the fullest rank after each number of steps, infinite where an expert is without a replica,
            ``(steps + 1,)``.
    """

    steps: Integers
    peaks: Floats


def paths_to(loads: Floats, target: Integers, in_force: Integers, ranks: int) -> tuple[Path, ...]:
    """Return the path of each layer from the map in force to ``target``; see :func:`within_budget`."""
    experts = loads.shape[1]
    start, end = held(in_force, ranks, experts), held(aligned(target, in_force, ranks), ranks, experts)
    return tuple(Path(*_towards(loads[layer], start[layer].copy(), end[layer])) for layer in range(len(loads)))


def along(paths: Sequence[Path], in_force: Integers, ranks: int, budget: int) -> Integers:
    """Return how far ``budget`` moves lead along ``paths``, ``(layers, slots)``."""
    result = in_force.copy()
    for layer, (path, stop) in enumerate(zip(paths, _dealt([path.peaks for path in paths], budget), strict=True)):
        row = result[layer].reshape(ranks, -1)
        for rank, removed, added in path.steps[:stop].tolist():
            row[rank, np.flatnonzero(row[rank] == removed)[0]] = added
    return result


def within_budget(loads: Floats, target: Integers, in_force: Integers, ranks: int, budget: int) -> Integers:
    """Return the part of ``target`` that ``budget`` moves reach, ``(layers, slots)``.

    Args:
        loads: tokens per expert that ``target`` was made for, ``(layers, experts)``.
        target: a balancer's map, ``(layers, slots)``.
        in_force: the map to start from, ``(layers, slots)``.
        ranks: rank ``r`` holds slots ``r * slots / ranks ...``.
        budget: experts that may be moved in all layers together.
    """
    return along(paths_to(loads, target, in_force, ranks), in_force, ranks, budget)


@numba.njit(cache=True)
def _towards(load: Floats, now: Integers, goal: Integers) -> tuple[Integers, Floats]:
    """Return changes (rank, removed, added) from ``now`` to ``goal``, and the load of the fullest rank after each.

    Both maps are ``(ranks, experts)``. The second result has one more entry, for no change; where an expert is
    without a replica it is infinite, and the change that gives it one is next.
    """
    ranks, experts = now.shape
    count = now.sum(axis=0)
    held_by = np.zeros(ranks)
    for rank in range(ranks):
        for expert in range(experts):
            if now[rank, expert]:
                held_by[rank] += now[rank, expert] * load[expert] / count[expert]
    total = int(np.maximum(goal - now, 0).sum())
    steps, peaks = np.zeros((total, 3), np.int64), np.zeros(total + 1)
    peaks[0] = held_by.max()
    trial, best_loads = np.zeros(ranks), np.zeros(ranks)
    lost = -1
    for step in range(total):
        best = (np.inf, np.inf, np.inf)
        for rank in range(ranks):
            for added in range(experts):
                if now[rank, added] >= goal[rank, added] or (lost >= 0 and added != lost):
                    continue
                for removed in range(experts):
                    if now[rank, removed] <= goal[rank, removed]:
                        continue
                    bare = 1.0 if count[removed] == 1 else 0.0
                    if bare > best[0]:
                        continue
                    more, less = count[added], count[removed]
                    gained = load[added] * (1.0 / (more + 1) - (1.0 / more if more else 0.0))
                    shed = load[removed] * ((1.0 / (less - 1) if less > 1 else 0.0) - 1.0 / less)
                    peak = square = 0.0
                    for other in range(ranks):
                        trial[other] = held_by[other] + now[other, added] * gained + now[other, removed] * shed
                    trial[rank] += load[added] / (more + 1) - (load[removed] / (less - 1) if less > 1 else 0.0)
                    for other in range(ranks):
                        peak = max(peak, trial[other])
                        square += trial[other] * trial[other]
                    peak = round(peak * 1e9 / peaks[0]) if peaks[0] > 0.0 else 0.0  # ties go to the squares
                    if (bare, peak, square) < best:
                        best = (bare, peak, square)
                        steps[step] = (rank, removed, added)
                        best_loads[:] = trial
        rank, removed, added = steps[step]
        now[rank, removed] -= 1
        now[rank, added] += 1
        count[removed] -= 1
        count[added] += 1
        held_by[:] = best_loads
        lost = removed if count[removed] == 0 else -1
        peaks[step + 1] = held_by.max() if lost < 0 else np.inf
    return steps, peaks


def _dealt(peaks: list[Floats], budget: int) -> list[int]:
    """Return where each layer stops so that the sum of the peaks is low: steepest first, then what still fits."""
    stops = [0] * len(peaks)
    heap = [(*_steepest(peak, 0, len(peak)), layer) for layer, peak in enumerate(peaks)]
    heapq.heapify(heap)
    while heap:
        slope, stop, layer = heapq.heappop(heap)
        if slope >= 0.0:
            break
        left = budget - sum(stops)
        if stop - stops[layer] > left:
            slope, stop = _steepest(peaks[layer], stops[layer], stops[layer] + left + 1)
            if slope < 0.0:
                heapq.heappush(heap, (slope, stop, layer))
            continue
        stops[layer] = stop
        heapq.heappush(heap, (*_steepest(peaks[layer], stop, len(peaks[layer])), layer))
    return stops


def _steepest(peak: Floats, start: int, end: int) -> tuple[float, int]:
    """Return the lowest change of ``peak`` per move from ``start`` to before ``end``, and where it leads."""
    if end - start < 2:
        return 0.0, start
    slopes = (peak[start + 1 : end] - peak[start]) / np.arange(1, end - start)
    best = int(np.argmin(slopes))
    return float(slopes[best]), start + 1 + best
