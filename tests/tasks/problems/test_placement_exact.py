"""Exact steps of placement: never dearer, always feasible, the same each time, and optimal where they say so."""

from dataclasses import replace

import numpy as np
import pytest

from data.generators.cluster import cluster_of
from data.schemas.cluster import Limits, Snapshot
from tasks.problems import placement_neighbourhood
from tasks.problems.placement import Placed, Placement
from tasks.problems.placement_columns import placement_of, values_of
from tasks.problems.placement_kernel import Ints, keeps_limits
from tasks.problems.placement_neighbourhood import LONG, better, shared
from tasks.problems.placement_programme import Part, everything
from tasks.problems.placement_programme_cost import programme_of
from tasks.yardsticks.placement import highs


def generated(seed: int, gpus: int = 72) -> Snapshot:
    """Return a generated cluster with a drained node, gangs of two jobs, pinned jobs, and spare nodes asked for."""
    rng = np.random.default_rng(seed)
    snapshot = cluster_of(gpus=gpus, jobs=gpus // 6, rng=rng)
    drained = int(rng.integers(len(snapshot.nodes)))
    nodes = tuple(replace(node, state="drained") if k == drained else node for k, node in enumerate(snapshot.nodes))
    jobs = tuple(
        replace(job, gang=f"pair-{k // 2}" if k % 5 < 2 else "", movable=k % 7 != 3)
        for k, job in enumerate(snapshot.jobs)
    )
    limits = Limits(migration_budget_gpus=24, next_gangs=seed % 3, spare_nodes_per_domain=seed % 2)
    return replace(snapshot, nodes=nodes, jobs=jobs, limits=limits)


def part_of(problem: Placement, node_of: Ints, rng: np.random.Generator) -> Part:
    """Return some domains, and the movable jobs that stand wholly in them or wait."""
    room, crew = problem.room, problem.crew
    inside = rng.random(room.domain_capacity.size) < 0.6
    free = everything(room, crew).free.copy()
    for job in range(free.size):
        nodes = node_of[crew.job_first[job] : crew.job_first[job + 1]]
        free[job] &= bool(inside[room.domain[nodes[nodes >= 0]]].all())
    return Part(node_of, free, inside[room.domain])


def test_a_part_prices_what_its_jobs_do_exactly(rng: np.random.Generator) -> None:
    others = 0
    for seed in range(6):
        problem = Placement.from_snapshot(generated(seed))
        room, crew = problem.room, problem.crew
        start = problem.search(problem.incumbent(), 300 * seed, rng).decision.node_of
        part = part_of(problem, start, rng)
        programme = programme_of(room, crew, part)
        held = ~part.free[crew.job]
        for _ in range(20):
            window = problem.window(Placed(start), 1, rng)
            tried = window.sew(-np.ones(window.ising.spins, np.int8)).node_of
            gone = (tried != start) & (tried != crew.home) & (tried >= 0)
            if (tried != start)[held].any() or not part.nodes[tried[gone]].all():
                continue
            tried = problem.search(Placed(tried), 0, rng).decision.node_of  # equal workers of a job stay at home
            if (tried != start)[held].any():
                continue
            values = values_of(programme, room, crew, tried)
            reached = programme.rows @ values
            assert (reached >= programme.low - 1e-9).all()
            assert (reached <= programme.high + 1e-9).all()
            assert programme.cost @ values + programme.constant == pytest.approx(problem.cost(Placed(tried)), abs=1e-9)
            assert problem.cost(Placed(placement_of(programme, crew, values))) <= problem.cost(Placed(tried)) + 1e-9
            others += int(not np.array_equal(tried, start))
    assert others > 5


@pytest.mark.parametrize("seed", range(2))
def test_exact_steps_prove_what_another_solver_finds(seed: int, rng: np.random.Generator) -> None:
    problem = Placement.from_snapshot(generated(seed))
    room, crew = problem.room, problem.crew
    found = better(room, crew, problem.incumbent().node_of, 5.0, rng)
    assert found.proven
    assert keeps_limits(found.node_of, room, crew)
    other = highs(problem, 60.0)
    assert other.proven
    cost = problem.cost(Placed(found.node_of))
    assert cost == pytest.approx(problem.cost(other.decision), abs=1e-5)
    assert problem.bound() - 1e-9 <= found.bound <= cost + 1e-9


def test_parts_never_cost_more_and_keep_to_every_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement_neighbourhood, "SMALL", 0)
    monkeypatch.setattr(placement_neighbourhood, "MIDDLING", 0)
    monkeypatch.setattr(placement_neighbourhood, "PART", 40)
    problem = Placement.from_snapshot(generated(1, gpus=144))
    room, crew = problem.room, problem.crew
    home = problem.incumbent().node_of
    found, again = (better(room, crew, home, 0.1, np.random.default_rng(0)) for _ in range(2))
    assert found.node_of.tobytes() == again.node_of.tobytes()
    assert keeps_limits(found.node_of, room, crew)
    assert problem.cost(Placed(found.node_of)) < problem.cost(Placed(home))
    assert found.gains
    assert not found.proven
    assert np.array_equal(found.node_of[crew.movable == 0], home[crew.movable == 0])
    assert (found.node_of[home >= 0] >= 0).all()
    gone = (found.node_of != home) & (found.node_of >= 0)
    assert (room.open[found.node_of[gone]] == 1).all()


def test_a_search_with_enough_effort_ends_at_the_optimum() -> None:
    problem = Placement.from_snapshot(generated(1))
    found, again = (problem.search(problem.incumbent(), 100_000, np.random.default_rng(3)) for _ in range(2))
    assert found.decision.node_of.tobytes() == again.decision.node_of.tobytes()
    best = highs(problem, 60.0)
    assert best.proven
    assert problem.cost(found.decision) == pytest.approx(problem.cost(best.decision), abs=1e-5)


def test_exact_steps_get_their_share_only_where_it_pays() -> None:
    small, large = (Placement.from_snapshot(generated(0, gpus=gpus)) for gpus in (72, 864))
    assert shared(small.room, small.crew, 20_000) == (20_000, 0.0)
    annealed, work = shared(small.room, small.crew, 400_000)
    assert annealed == 200_000
    assert work > 0.0
    jobs = large.crew.job_gang.size
    assert shared(large.room, large.crew, LONG * jobs - 1)[1] == 0.0
    assert shared(large.room, large.crew, LONG * jobs)[0] == LONG * jobs - LONG * jobs // 4
