"""What is the best expert map? The whole problem as an integer programme for CP-SAT, for layers of a dozen experts.

The cost is that of the routing noun: imbalance, expected and worst over scenarios, moves, and crossings. Tokens of an
expert with ``k`` replicas are split evenly, so that a rank's load is linear in "how many of the ``k`` replicas are
here"; what crosses is the product of a share and of an absence, which the model holds exactly.
"""

import math
import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from ortools.sat.python import cp_model

from tasks.yardsticks.eplb import replicate
from tasks.yardsticks.expert_budget import held

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SCALE = 10_000
"""Loads and shares of the cost are whole parts of this, a balanced rank's load being one."""


@dataclass(frozen=True, slots=True, eq=False)
class ExpertLayers:
    """A small deployment; its ranks are alike and its experts have no groups.

    Args:
        scenarios: tokens per expert, ``(scenarios, layers, experts)``.
        likelihood: of each scenario, ``(scenarios,)``.
        in_force: expert in each slot, ``(layers, slots)``.
        domain: NVLink domain of each rank, numbered from 0, ``(ranks,)``.
        tokens: from expert to expert of the next layer, ``(layers - 1, experts, experts)``.
        budget: experts that may be moved.
        risk: share of the worst scenario in a layer's imbalance.
        traffic: cost, per layer, if every token crosses.
        move: cost of a moved expert.
    """

    scenarios: Floats
    likelihood: Floats
    in_force: Integers
    domain: Integers
    tokens: Floats
    budget: int
    risk: float
    traffic: float
    move: float


@dataclass(frozen=True, slots=True, eq=False)
class BestMap:
    """What CP-SAT found.

    Args:
        placement: expert in each slot, ``(layers, slots)``.
        cost: of it, to the rounding of :data:`SCALE`.
        bound: proven lower bound on the cost, less what rounding can hide.
        proven: whether no map is cheaper, to the same rounding.
    """

    placement: Integers
    cost: float
    bound: float
    proven: bool


def best_map(problem: ExpertLayers, seconds: float, seed: int, workers: int = 1) -> BestMap | None:
    """Return the best map that OR-Tools' CP-SAT finds; None if none was found in time.

    A third of the time goes to maps with fixed numbers of replicas, the heaviest replica as light as can be or, where
    the budget does not reach that far, as in force; from the better of them it goes on with all numbers open.
    """
    until = time.perf_counter() + seconds
    experts = problem.scenarios.shape[2]
    loads = np.tensordot(problem.likelihood, problem.scenarios, axes=1)
    lightest = np.stack([np.bincount(replicate(row, problem.in_force.shape[1])) for row in loads])
    as_now = np.stack([np.bincount(row, minlength=experts) for row in problem.in_force])
    best: BestMap | None = None
    for fixed, share in ((lightest, 0.25), (as_now, 0.15), (None, 1.0)):
        left = until - time.perf_counter()
        found = _solved(problem, fixed, best, left * share, seed, workers)
        if found is not None and (best is None or found.cost <= best.cost):
            best = found
        elif found is None and fixed is None and best is not None:
            best = replace(best, bound=0.0, proven=False)
    return best


def _solved(
    problem: ExpertLayers, fixed: Integers | None, start: BestMap | None, seconds: float, seed: int, workers: int
) -> BestMap | None:
    """Return the best map with ``fixed`` numbers of replicas, ``(layers, experts)``, or with any."""
    if seconds <= 0.0:
        return None
    layers, slots = problem.in_force.shape
    experts, ranks = problem.scenarios.shape[2], problem.domain.size
    model = cp_model.CpModel()
    hint = held(problem.in_force if start is None else start.placement, ranks, experts)
    here = [_replicas(model, problem, None if fixed is None else fixed[row], hint[row]) for row in range(layers)]
    before = held(problem.in_force, ranks, experts)
    moved = []
    for layer in range(layers):
        for expert in range(experts):
            for rank in range(ranks):
                count = sum(copies[rank] for copies in here[layer][expert].values())
                more = model.new_int_var(0, slots // ranks, "")
                model.add(more >= count - int(before[layer, rank, expert]))
                moved.append(more)
    model.add(sum(moved) <= problem.budget)
    terms = [round(problem.move * SCALE * SCALE) * sum(moved)]
    terms += [_imbalance(model, problem, layer, here[layer]) for layer in range(layers)]
    if int(problem.domain.max()) > 0 and problem.tokens.sum() > 0.0 and problem.traffic > 0.0:
        terms += [_crossings(model, problem, layer, here) for layer in range(layers - 1)]
    model.minimize(sum(terms))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = workers
    solver.parameters.interleave_search = workers == 1  # its searches take turns, where they cannot run side by side
    solver.parameters.random_seed = seed
    solver.parameters.max_time_in_seconds = seconds
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None
    counts = np.array(
        [
            [
                [
                    sum(solver.value(copies[rank]) for copies in here[layer][expert].values())
                    for expert in range(experts)
                ]
                for rank in range(ranks)
            ]
            for layer in range(layers)
        ]
    )
    rounding = layers * (slots / ranks + 3.0) / SCALE + (layers - 1) * experts * experts / SCALE**2
    return BestMap(
        placement=_in_slots(counts, problem.in_force),
        cost=solver.objective_value / SCALE**2,
        bound=max(0.0, solver.best_objective_bound / SCALE**2 - rounding) if fixed is None else 0.0,
        proven=fixed is None and status == cp_model.OPTIMAL,
    )


def _replicas(
    model: cp_model.CpModel, problem: ExpertLayers, fixed: Integers | None, hint: Integers
) -> list[dict[int, list[cp_model.IntVar]]]:
    """Return for each expert and number of replicas how many are on each rank; 0 for all numbers but one.

    ``fixed`` are the replicas of each expert, and ``hint`` those on each rank, ``(ranks, experts)``.
    """
    ranks, slots, experts = problem.domain.size, problem.in_force.shape[1], problem.scenarios.shape[2]
    room = slots // ranks
    here: list[dict[int, list[cp_model.IntVar]]] = []
    for expert in range(experts):
        numbers = range(1, slots - experts + 2) if fixed is None else (int(fixed[expert]),)
        chosen = {k: model.new_bool_var("") for k in numbers}
        model.add_exactly_one(chosen.values())
        copies = {k: [model.new_int_var(0, min(k, room), "") for _ in range(ranks)] for k in chosen}
        hinted = int(hint[:, expert].sum())
        for k, counts in copies.items():
            model.add(sum(counts) == k * chosen[k])
            model.add_hint(chosen[k], int(k == hinted))
            for rank, count in enumerate(counts):
                model.add_hint(count, int(hint[rank, expert]) if k == hinted else 0)
        here.append(copies)
    for rank in range(ranks):
        model.add(sum(counts[rank] for copies in here for counts in copies.values()) == room)
    return here


def _imbalance(
    model: cp_model.CpModel, problem: ExpertLayers, layer: int, here: list[dict[int, list[cp_model.IntVar]]]
) -> cp_model.LinearExpr:
    ranks = problem.domain.size
    worst = model.new_int_var(0, SCALE * ranks, f"worst{layer}")
    total = 0
    for scenario, likelihood in enumerate(problem.likelihood.tolist()):
        tokens = problem.scenarios[scenario, layer]
        if tokens.sum() <= 0.0:
            continue
        part = tokens * (ranks / tokens.sum())
        peak = model.new_int_var(SCALE, SCALE * ranks, "")  # no rank can be the fullest with less than the mean
        for rank in range(ranks):
            load = sum(round(SCALE * part[e] / k) * copies[k][rank] for e, copies in enumerate(here) for k in copies)
            model.add(peak >= load)
        for expert, copies in enumerate(here):  # said outright, since it does not follow while counts are fractions
            for k, counts in copies.items():
                for count in counts:
                    model.add(peak >= round(SCALE * part[expert] / k) * count)
        model.add(worst >= peak - SCALE)
        total += round(SCALE * (1.0 - problem.risk) * likelihood) * (peak - SCALE)
    return total + round(SCALE * problem.risk) * worst


def _crossings(
    model: cp_model.CpModel, problem: ExpertLayers, layer: int, here: list[list[dict[int, list[cp_model.IntVar]]]]
) -> cp_model.LinearExpr:
    """Return what the tokens between ``layer`` and the next cost."""
    unit = math.lcm(*(k for copies in here[layer] for k in copies))
    weight = problem.traffic * len(here) / float(problem.tokens.sum())
    total = 0
    for domain in range(int(problem.domain.max()) + 1):
        ranks = np.flatnonzero(problem.domain == domain).tolist()
        shares, absent = [], []
        for copies in here[layer]:
            share = model.new_int_var(0, unit, "")
            model.add(share == sum((unit // k) * counts[rank] for k, counts in copies.items() for rank in ranks))
            shares.append(share)
        for copies in here[layer + 1]:
            gone = model.new_bool_var("")
            model.add(sum(counts[rank] for counts in copies.values() for rank in ranks) >= 1).only_enforce_if(~gone)
            absent.append(gone)
        for source, target in zip(*np.nonzero(problem.tokens[layer]), strict=True):
            crossing = model.new_int_var(0, unit, "")
            model.add(crossing >= shares[source] - unit * (1 - absent[target]))
            total += round(SCALE * SCALE * weight * problem.tokens[layer, source, target] / unit) * crossing
    return total


def _in_slots(counts: Integers, in_force: Integers) -> Integers:
    """Return a map with so many replicas on each rank, ``(layers, slots)``, experts in their slots where possible."""
    layers, ranks, _ = counts.shape
    result = np.full(in_force.shape, -1, dtype=np.int64)
    for layer in range(layers):
        for rank in range(ranks):
            left = counts[layer, rank].copy()
            row = result[layer].reshape(ranks, -1)[rank]
            for slot, expert in enumerate(in_force[layer].reshape(ranks, -1)[rank].tolist()):
                if left[expert]:
                    row[slot] = expert
                    left[expert] -= 1
            row[row < 0] = np.repeat(np.arange(left.size), left)
    return result
