"""Facts about what stands beside the placement search: the integer programme is exact, the rules keep every limit."""

from dataclasses import replace

import numpy as np
import pytest

from data.generators.cluster import cluster_of
from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job, Worker
from tasks.problems.placement import Placed, Placement
from tasks.problems.placement_columns import placement_of, values_of
from tasks.problems.placement_kernel import keeps_limits
from tasks.problems.placement_programme_cost import programme_of
from tasks.yardsticks.fragmentation_gradient import fragments, steepest
from tasks.yardsticks.kueue import balanced, best_fit, fewest, fullest, least_free
from tasks.yardsticks.partitioned import metis, parts
from tasks.yardsticks.placement import cp_sat, highs
from tasks.yardsticks.placement_books import Books, replanned, waiting_only

RULES = (best_fit, least_free, balanced, steepest)


def generated(seed: int, gpus: int = 96) -> Snapshot:
    """Return a generated cluster with a drained node, gangs of two jobs, some that wait, and spare nodes asked for."""
    rng = np.random.default_rng(seed)
    snapshot = cluster_of(gpus=gpus, jobs=gpus // 5, rng=rng)
    drained = int(rng.integers(len(snapshot.nodes)))
    nodes = tuple(replace(node, state="drained") if k == drained else node for k, node in enumerate(snapshot.nodes))
    jobs = tuple(
        replace(job, gang=f"pair-{k // 2}" if k % 5 < 2 else "", unsaved_s=float(rng.integers(900)))
        for k, job in enumerate(snapshot.jobs)
    )
    limits = Limits(migration_budget_gpus=24, next_gangs=seed % 3, spare_nodes_per_domain=seed % 2)
    return replace(snapshot, nodes=nodes, jobs=jobs, limits=limits)


def tiny(seed: int) -> Snapshot:
    """Return four trays in two racks with jobs of all kinds, small enough to try every placement."""
    rng = np.random.default_rng(seed)
    nodes = tuple(
        Node(f"n{k}", "A" if k < 3 or seed % 2 else "B", 4, f"d{k // 2}", f"r{k // 2}", state="up") for k in range(4)
    )
    free = {node.id: list(range(4)) for node in nodes}
    jobs = []
    for k, (workers, size) in enumerate(((2, 2), (1, 2), (1, 1), (2, 1))):
        chosen = []
        for _ in range(workers):
            able = [node.id for node in nodes if len(free[node.id]) >= size and node.gpu_model == "A"]
            name = able[int(rng.integers(len(able)))]
            chosen.append(Worker(name, tuple(free[name][:size])))
            free[name] = free[name][size:]
        waits = k == 3
        jobs.append(
            Job(
                f"j{k}",
                workers,
                size,
                "pending" if waits else "running",
                () if waits else tuple(chosen),
                gang="pair" if k in (0, 3) else "",
                traffic_gb_per_s=float(rng.integers(5, 60)),
                checkpoint_gb=float(rng.integers(0, 800)),
            )
        )
    return Snapshot("tiny", "2026-01-31T12:00:00Z", nodes, tuple(jobs), limits=Limits(migration_budget_gpus=5))


def wandered(problem: Placement, rng: np.random.Generator, steps: int) -> Placed:
    """Return what ``steps`` moves by chance make of what is in force."""
    decision = problem.incumbent()
    for _ in range(steps):
        window = problem.window(decision, 6, rng)
        if window.ising.spins:
            decision = window.sew(rng.choice(np.array([-1, 1], np.int8), window.ising.spins))
    return decision


def settled(problem: Placement, decision: Placed) -> Placed:
    """Return the same with equal workers of a job exchanged so that as many as possible stay at home."""
    books = Books(problem)
    for job in range(problem.crew.job_gang.size):
        nodes = decision.node_of[books.workers(job)]
        if books.node_of[books.workers(job)][0] >= 0:
            books.lift(job)
        if nodes[0] >= 0:
            books.put(job, nodes)
    return books.placed()


@pytest.mark.parametrize("seed", range(6))
def test_the_programme_prices_a_placement_exactly(seed: int, rng: np.random.Generator) -> None:
    problem = Placement.from_snapshot(generated(seed))
    programme = programme_of(problem.room, problem.crew)
    for steps in (0, 1, 4, 8):
        decision = settled(problem, wandered(problem, rng, steps))
        values = values_of(programme, problem.room, problem.crew, decision.node_of)
        reached = programme.rows @ values
        assert (reached >= programme.low - 1e-9).all()
        assert (reached <= programme.high + 1e-9).all()
        assert ((values >= 0) & (values <= programme.upper)).all()
        assert programme.cost @ values + programme.constant == pytest.approx(problem.cost(decision), abs=1e-9)
        back = Placed(placement_of(programme, problem.crew, values))
        assert problem.cost(back) <= problem.cost(decision) + 1e-9  # who only changed places with another stays
        assert keeps_limits(back.node_of, problem.room, problem.crew)


@pytest.mark.parametrize("seed", range(4))
def test_both_solvers_find_the_cheapest_of_all_placements(seed: int) -> None:
    problem = Placement.from_snapshot(tiny(seed))
    crew, room = problem.crew, problem.room
    cheapest = np.inf
    for code in np.ndindex(*[room.capacity.size + 1] * crew.home.size):
        node_of = np.array(code, np.int64) - 1
        if allowed(problem, node_of):
            cheapest = min(cheapest, problem.cost(Placed(node_of)))
    for best in (cp_sat(problem, 20.0, 0), highs(problem, 20.0)):
        assert best.proven
        assert allowed(problem, best.decision.node_of)
        assert problem.cost(best.decision) == pytest.approx(cheapest, abs=1e-6)
        assert cheapest - 1e-4 <= best.bound <= cheapest + 1e-6


def allowed(problem: Placement, node_of: np.ndarray) -> bool:
    """Tell, from the definitions, whether a placement of :func:`tiny` may be."""
    crew, room = problem.crew, problem.room
    for job in range(crew.job_gang.size):
        mine = node_of[crew.job_first[job] : crew.job_first[job + 1]]
        running = crew.home[crew.job_first[job]] >= 0
        if (mine < 0).any() and (running or (mine >= 0).any()):
            return False
        models = {int(room.model[node]) for node in mine if node >= 0}
        if len(models) > 1 or (running and models != {int(crew.model[crew.job_first[job]])}):
            return False
    return bool(keeps_limits(node_of, room, crew))


@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_is_below_whatever_else_is_tried(seed: int, rng: np.random.Generator) -> None:
    problem = Placement.from_snapshot(generated(seed, gpus=64))
    best = cp_sat(problem, 20.0, seed)
    assert best.proven
    optimum = problem.cost(best.decision)
    tried = [replanned(problem, rule) for rule in RULES] + [waiting_only(problem, rule) for rule in RULES]
    for decision in (*tried, metis(problem, seed), wandered(problem, rng, 6), problem.incumbent()):
        assert problem.cost(decision) >= optimum - 1e-6
    assert problem.bound() <= optimum + 1e-9


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(3))
def test_rules_keep_every_limit_and_never_cost_more_than_in_force(rule, seed: int) -> None:
    problem = Placement.from_snapshot(generated(seed, gpus=192))
    room, crew = problem.room, problem.crew
    waiting, everything = waiting_only(problem, rule), replanned(problem, rule)
    runs = crew.home >= 0
    assert np.array_equal(waiting.node_of[runs], crew.home[runs])
    pinned = runs & (crew.movable == 0)
    for decision in (waiting, everything):
        node_of = decision.node_of
        assert keeps_limits(node_of, room, crew)
        assert np.array_equal(node_of[pinned], crew.home[pinned])
        assert (node_of[runs] >= 0).all()
        gone = (node_of >= 0) & (node_of != crew.home)
        assert (room.open[node_of[gone]] == 1).all()
        asked = gone & (crew.model != -1)
        assert (room.model[node_of[asked]] == crew.model[asked]).all()
    assert problem.cost(everything) <= problem.cost(waiting) + 1e-9


def test_a_gang_goes_where_each_rule_says(cluster: Snapshot) -> None:
    nodes = tuple(replace(node, state="up") for node in cluster.nodes)
    held = (
        Job("a", 1, 4, "running", (Worker("east-0", (0, 1, 2, 3)),)),
        Job("b", 1, 4, "running", (Worker("east-1", (0, 1, 2, 3)),)),
        Job("gang", 2, 4, "pending", traffic_gb_per_s=10.0),
    )
    problem = Placement.from_snapshot(replace(cluster, nodes=nodes, jobs=held))
    for rule in (best_fit, least_free, balanced):  # FGD places worker by worker, so it looks no further than the first
        node_of = waiting_only(problem, rule).node_of
        names = {problem.node_ids[node] for node in node_of[problem.crew.home < 0]}
        assert names == {"east-2", "east-3"}  # the fuller rack, and the other one stays whole


def test_balanced_cuts_equal_slices_where_best_fit_does_not() -> None:
    nodes = tuple(Node(f"{rack}{k}", "A", 1, rack, rack) for rack in "xyz" for k in range(7))
    problem = Placement.from_snapshot(
        Snapshot("even", "2026-01-31T12:00:00Z", nodes, (Job("gang", 12, 1, "pending", traffic_gb_per_s=1.0),))
    )

    def slices(rule) -> list[int]:
        placed = waiting_only(problem, rule).node_of
        return sorted(np.bincount(problem.room.domain[placed]).tolist())

    assert slices(best_fit) == [5, 7]
    assert slices(balanced) == [6, 6]


def test_who_takes_what() -> None:
    room = np.array([3, 0, 5, 4], np.int64)
    assert fewest(room, 4).tolist() == [0, 0, 0, 4]
    assert fewest(room, 7).tolist() == [2, 0, 5, 0]
    assert fullest(room, 7).tolist() == [3, 0, 0, 4]


def test_fragments_are_free_gpus_times_the_share_of_tasks_that_find_too_few() -> None:
    assert fragments(np.array([1, 1, 2, 4], np.int64), 4).tolist() == [0.0, 0.5, 0.5, 0.75, 0.0]


def test_metis_keeps_gangs_together(cluster: Snapshot) -> None:
    problem = Placement.from_snapshot(cluster)
    wanted = parts(problem, 0)
    crew = problem.crew
    for job in ("blue", "red"):
        number = [one.id for one in problem.jobs].index(job)
        assert np.unique(wanted[crew.job_first[number] : crew.job_first[number + 1]]).size == 1
    assert problem.cost(metis(problem, 0)) < problem.cost(problem.incumbent())


def test_books_take_back_what_does_not_pay(cluster: Snapshot) -> None:
    problem = Placement.from_snapshot(cluster)
    books = Books(problem)
    before = books.node_of.copy(), books.free.copy()
    assert not np.isinf(books.cost())
    everything = replanned(problem, lambda _books, _job, _slots: None)
    assert np.array_equal(everything.node_of, before[0])
    books.lift(0)
    books.put(0, before[0][books.workers(0)])
    assert np.array_equal(books.node_of, before[0])
    assert np.array_equal(books.free, before[1])
