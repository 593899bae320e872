"""One loop for every noun: never worse, the same again for the same seed, and honest about who found what."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pytest

from data.schemas.cluster import Snapshot
from qiskit_solvers.anneal import Anneal
from qiskit_solvers.errors import SolverFailed, TooLarge
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import Ising
from qiskit_solvers.qaoa import Qaoa
from qiskit_solvers.solver import Spins
from tasks.problems.placement import Placement
from tasks.refine import Effort, refine

SMALL = Effort(evaluations=300, rounds=6, window=8, patience=4)
NO_SEARCH = Effort(evaluations=0, rounds=12, window=8, patience=12)


@dataclass(frozen=True, slots=True)
class Dies:
    """A solver whose process dies at each call."""

    kind: Literal["dies"] = "dies"

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        raise SolverFailed("killed by signal 9")


@dataclass(frozen=True, slots=True)
class Narrow:
    """A solver that holds few spins."""

    kind: Literal["narrow"] = "narrow"

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        if ising.spins > 4:
            raise TooLarge(f"expected at most 4 spins, got {ising.spins}")
        return Exact()(ising, rng)


@dataclass(frozen=True, slots=True)
class Worst:
    """A solver that returns the worst strings."""

    kind: Literal["worst"] = "worst"

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        return Exact()(Ising(-ising.h, -ising.J, -ising.offset), rng)


@pytest.mark.parametrize("solver", [Exact(), Anneal(), Qaoa(layers=4, shots=128), Worst(), Dies(), Narrow()])
def test_refining_never_raises_the_cost(cluster: Snapshot, solver: Exact, rng: np.random.Generator) -> None:
    problem = Placement.from_snapshot(cluster)
    refined = refine(problem, solver, rng, effort=SMALL)
    assert list(refined.costs) == sorted(refined.costs, reverse=True)
    assert refined.costs[0] == problem.cost(problem.incumbent())
    assert refined.costs[-1] == pytest.approx(problem.cost(refined.decision))


def test_windows_alone_improve_a_fragmented_placement(cluster: Snapshot, rng: np.random.Generator) -> None:
    problem = Placement.from_snapshot(cluster)
    refined = refine(problem, Exact(), rng, effort=NO_SEARCH)
    row = next(row for row in refined.rows if row.method == "exact on windows")
    assert row.chosen
    assert row.accepted > 0
    assert refined.costs[-1] < refined.costs[0]


def test_the_same_seed_gives_the_same_decision(cluster: Snapshot) -> None:
    problem = Placement.from_snapshot(cluster)
    once, again = (refine(problem, Qaoa(layers=4), np.random.default_rng(3), effort=SMALL) for _ in range(2))
    assert np.array_equal(once.decision.node_of, again.decision.node_of)
    assert once.rows == again.rows


def test_a_dead_solver_is_replaced_once_and_named(cluster: Snapshot, rng: np.random.Generator) -> None:
    refined = refine(Placement.from_snapshot(cluster), Dies(), rng, effort=NO_SEARCH)
    assert [(fallback.wanted, fallback.used) for fallback in refined.fallbacks] == [("dies", "exact")]
    assert refined.fallbacks[0].reason == "killed by signal 9"
    stand_in = next(row for row in refined.rows if "standing in for dies" in row.method)
    assert stand_in.windows > 0
    assert next(row for row in refined.rows if row.method == "dies on windows").windows == 0


def test_a_window_that_is_too_large_is_halved(cluster: Snapshot, rng: np.random.Generator) -> None:
    refined = refine(Placement.from_snapshot(cluster), Narrow(), rng, effort=NO_SEARCH)
    assert refined.fallbacks[0].used == "windows of 4 moves"
    assert next(row for row in refined.rows if row.method == "narrow on windows").windows > 0


def test_twins_get_the_first_window_that_the_solver_gets(cluster: Snapshot, rng: np.random.Generator) -> None:
    effort = replace(NO_SEARCH, rounds=1)
    refined = refine(Placement.from_snapshot(cluster), Exact(), rng, effort=effort, twins=(Exact(),))
    first, second = (row for row in refined.rows if row.method == "exact on windows")
    assert replace(first, chosen=False) == replace(second, chosen=False)


def test_the_time_guard_ends_the_loop_and_says_so(cluster: Snapshot, rng: np.random.Generator) -> None:
    refined = refine(Placement.from_snapshot(cluster), Exact(), rng, effort=SMALL, expired=lambda: True)
    assert "time guard" in refined.fallbacks[0].reason
    assert all(row.windows == 0 for row in refined.rows)


def test_the_bound_is_below_the_cost(cluster: Snapshot, rng: np.random.Generator) -> None:
    refined = refine(Placement.from_snapshot(cluster), Exact(), rng, effort=SMALL)
    assert refined.bound.value <= refined.costs[-1]


def test_what_the_search_proved_goes_before_a_looser_bound(cluster: Snapshot) -> None:
    problem = Placement.from_snapshot(cluster)
    effort = Effort(evaluations=100_000, rounds=1)
    refined = refine(problem, Exact(), np.random.default_rng(0), effort=effort)
    assert refined.bound.method == "CP-SAT on the whole problem"
    assert problem.bound() < refined.bound.value <= refined.costs[-1]
