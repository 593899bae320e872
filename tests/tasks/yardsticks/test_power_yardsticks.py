"""Facts about the power noun beside CP-SAT and the lists that operators use."""

import numpy as np
import pytest

from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job, Worker
from qiskit_solvers.errors import SolverFailed
from tasks.problems.power import Power
from tasks.yardsticks.power import cp_sat, least_energy, uniform_cap


def waiting(seed: int, *, jobs: int = 6, cap_w: float = 3_600.0) -> Power:
    """Two nodes, two jobs that run and others that wait, under a cap that lets about half of the GPUs draw all."""
    rng = np.random.default_rng(seed)
    nodes = tuple(Node(name, "H100", 4, name, "r", 200.0, 700.0, 50.0, 200.0) for name in ("a", "b"))
    made = [
        Job(f"r{k}", 1, 2, "running", (Worker(node.id, (0, 1)),), remaining_s=float(rng.integers(600, 2400)))
        for k, node in enumerate(nodes)
    ]
    for k in range(jobs - 2):
        made.append(
            Job(
                f"p{k}",
                1,
                int(rng.integers(1, 4)),
                "pending",
                gpu_model="H100" if rng.random() < 0.5 else None,
                priority=float(rng.choice([1.0, 3.0])),
                remaining_s=float(rng.integers(300, 2400)),
                depends_on=(made[int(rng.integers(len(made)))].id,) if rng.random() < 0.3 else (),
                gpu_power_w=float(rng.integers(300, 700)),
                gpu_power_cap_w=250.0 if rng.random() < 0.2 else None,
            )
        )
    limits = Limits(power_cap_w=cap_w, slot_s=600.0, horizon_slots=10)
    return Power.from_snapshot(Snapshot("test", "2026-01-31T12:00:00Z", nodes, tuple(made), limits=limits))


@pytest.mark.parametrize("seed", range(6))
def test_search_reaches_the_optimum_that_cp_sat_proves(seed: int) -> None:
    problem = waiting(seed, jobs=6 + seed % 4)
    proven = cp_sat(problem, 20.0, 1)
    assert proven.optimal
    assert problem.feasible(proven.schedule)
    optimum = problem.cost(proven.schedule)
    assert proven.bound <= optimum
    assert problem.bound() <= optimum + 1e-9
    found = problem.search(problem.incumbent(), 100_000, np.random.default_rng(seed)).decision
    assert optimum - 1e-4 <= problem.cost(found) <= 1.01 * optimum


def test_search_is_below_the_lists_that_operators_use() -> None:
    for seed in range(5):
        problem = waiting(seed, jobs=12)
        found = problem.search(problem.incumbent(), 10_000, np.random.default_rng(seed)).decision
        for schedule in (uniform_cap(problem), least_energy(problem)):
            assert problem.overload_kwh(schedule) == 0.0
            assert problem.cost(found) <= problem.cost(schedule)


def test_cp_sat_begins_with_a_hint() -> None:
    problem = waiting(3)
    found = problem.search(problem.incumbent(), 20_000, np.random.default_rng(0)).decision
    hinted = cp_sat(problem, 20.0, 1, hint=found)
    assert problem.cost(hinted.schedule) <= problem.cost(found) + 1e-4


def test_methods_without_a_schedule_under_the_cap_fail() -> None:
    problem = waiting(0, cap_w=1_000.0)
    for method in (lambda: cp_sat(problem, 5.0, 1), lambda: uniform_cap(problem), lambda: least_energy(problem)):
        with pytest.raises(SolverFailed):
            method()
