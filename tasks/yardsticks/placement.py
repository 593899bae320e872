"""What is the best placement? The whole problem as an integer programme for CP-SAT, for some dozen nodes."""

from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from qiskit_solvers.errors import SolverFailed
from tasks.problems.placement import Placed, Placement

SCALE = 1_000_000
"""Costs are whole millionths of a GPU; the returned decision is priced exactly."""


@dataclass(frozen=True, slots=True, eq=False)
class BestPlacement:
    """What CP-SAT found.

    Args:
        decision: the best placement found.
        bound: proven lower bound on the cost, to the rounding of :data:`SCALE`.
        proven: whether the decision is proven to be the best.
    """

    decision: Placed
    bound: float
    proven: bool


def cp_sat(problem: Placement, work: float, seed: int) -> BestPlacement:
    """Return the best placement that OR-Tools' CP-SAT finds on one thread.

    Shares of GPU pairs and stranded capacity are squares of counts, which the model holds as products;
    so it is exact, and small.

    Args:
        problem: the placement.
        work: deterministic time, about seconds, after which the search stops.
        seed: of its chance.

    Raises:
        SolverFailed: no placement was found.
    """
    model = cp_model.CpModel()
    crew, room = problem.crew, problem.room
    workers, nodes = crew.home.size, room.capacity.size
    on = [[model.new_bool_var(f"w{worker}n{node}") for node in range(nodes)] for worker in range(workers)]
    for worker in range(workers):
        home, job = int(crew.home[worker]), int(crew.job[worker])
        for node in range(nodes):
            kind_fits = crew.model[worker] in (-1, room.model[node])
            if node != home and not (room.open[node] and kind_fits and crew.movable[worker]):
                model.add(on[worker][node] == 0)
        if home >= 0:
            model.add_exactly_one(on[worker])
        elif not crew.job_ready[job]:
            model.add(sum(on[worker]) == 0)
        else:
            model.add_at_most_one(on[worker])
            model.add(sum(on[worker]) == sum(on[int(crew.job_first[job])]))
    for node in range(nodes):
        model.add(sum(int(crew.size[w]) * on[w][node] for w in range(workers)) <= int(room.capacity[node]))
    moved = [1 - on[w][int(crew.home[w])] if crew.home[w] >= 0 else 0 for w in range(workers)]
    model.add(sum(int(crew.size[w]) * moved[w] for w in range(workers)) <= int(crew.budget))
    terms = [*_jobs(model, problem, on, moved), *_gangs(model, problem, on), *_domains(model, problem, on)]
    model.minimize(sum(terms))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    solver.parameters.max_deterministic_time = work
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        raise SolverFailed(f"cp-sat: {solver.status_name(status)} after {work} units of work")
    chosen = [next((n for n in range(nodes) if solver.boolean_value(on[w][n])), -1) for w in range(workers)]
    node_of = np.array(chosen, np.int64)
    node_of.flags.writeable = False
    return BestPlacement(Placed(node_of), solver.best_objective_bound / SCALE, status == cp_model.OPTIMAL)


def _scaled(cost: float) -> int:
    return round(SCALE * cost)


def _jobs(model: cp_model.CpModel, problem: Placement, on: list, moved: list) -> list:  # type: ignore[type-arg]  # ortools ships no types
    """Return what moving and waiting cost; workers of a job without a model of its own share one."""
    crew, room = problem.crew, problem.room
    terms = []
    for job in range(crew.job_gang.size):
        first, last = int(crew.job_first[job]), int(crew.job_first[job + 1])
        if crew.home[first] >= 0:
            changed = model.new_bool_var(f"moved{job}")
            for worker in range(first, last):
                model.add(changed >= moved[worker])
            terms.append(_scaled(crew.job_restart[job]) * changed)
            continue
        terms.append(_scaled(crew.job_wait[job]) * (1 - sum(on[first])))
        for kind in np.unique(room.model):
            of_kind = np.flatnonzero(room.model == kind).tolist()
            for worker in range(first + 1, last):
                model.add(sum(on[worker][n] for n in of_kind) == sum(on[first][n] for n in of_kind))
    return terms


def _gangs(model: cp_model.CpModel, problem: Placement, on: list) -> list:  # type: ignore[type-arg]
    """Return traffic, racks and drained nodes; of a gang with waiting jobs, for each number of GPUs placed."""
    crew, room = problem.crew, problem.room
    terms = []
    for gang in range(crew.gang_traffic.size):
        members = crew.gang_workers[crew.gang_first[gang] : crew.gang_first[gang + 1]].tolist()
        gpus = int(crew.size[members].sum())
        squares, counts, touches = [], [], []
        for domain in range(room.domain_capacity.size):
            inside = np.flatnonzero(room.domain == domain).tolist()
            count = model.new_int_var(0, gpus, "")
            model.add(count == sum(int(crew.size[w]) * on[w][n] for w in members for n in inside))
            square = model.new_int_var(0, gpus * gpus, "")
            model.add_multiplication_equality(square, [count, count])
            squares.append(square)
            touched = model.new_bool_var("")
            model.add(count >= 1).only_enforce_if(touched)
            model.add(count == 0).only_enforce_if(~touched)
            counts.append(count)
            touches.append(touched)
        total = model.new_int_var(0, gpus, "")
        model.add(total == sum(int(crew.size[w]) * on[w][n] for w in members for n in range(len(on[w]))))
        traffic = model.new_int_var(0, _scaled(crew.gang_traffic[gang]), "")
        jobs = {int(crew.job[w]) for w in members}
        sizes = {0}
        for job in jobs:
            own = int(crew.size[crew.job_first[job] : crew.job_first[job + 1]].sum())
            placed = crew.home[crew.job_first[job]] >= 0
            sizes = {size + own for size in sizes} if placed else sizes | {size + own for size in sizes}
        for size in sizes - {0}:
            here = model.new_bool_var("")
            model.add(total == size).only_enforce_if(here)
            model.add(total != size).only_enforce_if(~here)
            share = _scaled(crew.gang_traffic[gang] / size**2)
            model.add(traffic >= share * (size * size - sum(squares))).only_enforce_if(here)
        terms.append(traffic)
        largest, smallest = model.new_int_var(0, gpus, ""), model.new_int_var(0, gpus, "")
        for count, touched in zip(counts, touches, strict=True):
            model.add(largest >= count)
            model.add(smallest <= count).only_enforce_if(touched)
        spread = model.new_int_var(0, gpus, "")
        model.add(spread >= largest - smallest)
        terms.append(_scaled(crew.gang_uneven[gang]) * spread)
        beyond = model.new_int_var(0, len(counts), "")
        model.add(beyond >= sum(touches) - int(crew.gang_domains[gang]))
        terms.append(_scaled(crew.domain_weight) * beyond)
        extra = model.new_int_var(0, int(room.racks), "")
        used = []
        for rack in range(int(room.racks)):
            inside = np.flatnonzero(room.rack == rack).tolist()
            touched = model.new_bool_var("")
            for worker in members:
                for node in inside:
                    model.add(touched >= on[worker][node])
            used.append(touched)
        model.add(extra >= sum(used) - int(crew.gang_racks[gang]))
        terms.append(_scaled(crew.rack_weight) * extra)
        closed = np.flatnonzero(room.open == 0).tolist()
        terms += [_scaled(crew.drain_weight) * int(crew.size[w]) * on[w][n] for w in members for n in closed]
    return terms


def _domains(model: cp_model.CpModel, problem: Placement, on: list) -> list:  # type: ignore[type-arg]
    """Return what free GPUs of broken-up domains cost, and those in the way of the next gangs; keep nodes spare."""
    crew, room = problem.crew, problem.room
    terms = []
    nearest, ways = [], []
    for domain in range(room.domain_capacity.size):
        capacity = int(room.domain_capacity[domain])
        if capacity <= 0:
            continue
        inside = np.flatnonzero((room.domain == domain) & (room.open == 1)).tolist()
        if room.domain_spare[domain]:
            idle = {n: model.new_bool_var("") for n in inside if room.capacity[n] > 0}
            for node, is_idle in idle.items():
                for worker in range(len(on)):
                    model.add_implication(is_idle, ~on[worker][node])
            model.add(sum(idle.values()) >= int(room.domain_spare[domain]))
        free = model.new_int_var(0, capacity, "")
        model.add(free == capacity - sum(int(crew.size[w]) * on[w][n] for w in range(len(on)) for n in inside))
        square = model.new_int_var(0, capacity * capacity, "")
        model.add_multiplication_equality(square, [free, free])
        terms.append(_scaled(crew.stranded_weight) * free - _scaled(crew.stranded_weight / capacity) * square)
        if room.domain_full_size[domain]:
            chosen, way = model.new_bool_var(""), model.new_int_var(0, capacity, "")
            model.add(way >= capacity - free).only_enforce_if(chosen)
            nearest.append(chosen)
            ways.append(_scaled(crew.next_weight) * way)
    model.add(sum(nearest) == min(crew.next_gangs, len(nearest)))
    return [*terms, *ways]
