"""Gangs on GPUs: the exact cost, moves that keep every rule, and actions that lead where the decision says."""

from collections import Counter
from dataclasses import replace
from itertools import combinations, pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.crosscheck import cross_check
from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job, Worker
from data.schemas.plan import Migrate, Place
from data.transition import apply_actions, inverse
from qiskit_solvers.ising import energies
from tasks.problems.placement import Placed, Placement
from tasks.problems.placement_tables import PlacementWeights
from tasks.yardsticks.placement import cp_sat


def random_cluster(seed: int) -> Snapshot:
    """A small cluster of mixed models, sizes and states, filled at random."""
    rng = np.random.default_rng(seed)
    states = ["up", "up", "up", "up", "drained", "down"]
    nodes = []
    for index in range(int(rng.integers(2, 9))):
        model, gpus = (("GB200", 4), ("H100", 8))[int(rng.integers(2))]
        domain = f"{model}-{index // 3}" if model == "GB200" else f"dgx-{index}"
        lost = tuple(sorted(rng.choice(gpus, int(rng.integers(0, 2)), replace=False).tolist()))
        state = states[int(rng.integers(len(states)))]
        nodes.append(Node(f"n{index}", model, gpus, domain, f"rack-{index // 3}", state=state, unavailable_gpus=lost))
    free = {n.id: [g for g in range(n.gpus) if g not in n.unavailable_gpus] for n in nodes if n.state != "down"}
    models = {n.id: n.gpu_model for n in nodes}
    jobs = []
    for index in range(int(rng.integers(0, 9))):
        workers, size = int(rng.integers(1, 4)), int(rng.choice([1, 2, 4]))
        gang = f"gang-{index // 2}" if rng.random() < 0.3 else ""
        job = Job(
            f"j{index}", workers, size, "pending", gang=gang, priority=float(rng.integers(1, 5)),
            traffic_gb_per_s=float(rng.integers(0, 80)), checkpoint_gb=float(rng.integers(0, 200)),
            movable=bool(rng.random() < 0.8), restore_s=float(rng.integers(0, 900)) if rng.random() < 0.5 else None,
            unsaved_s=float(rng.integers(0, 1800)),
        )  # fmt: skip
        if rng.random() < 0.7 and free:
            placement = []
            model = models[list(free)[int(rng.integers(len(free)))]]
            for _ in range(workers):
                fits = [name for name, left in free.items() if len(left) >= size and models[name] == model]
                if not fits:
                    break
                name = fits[int(rng.integers(len(fits)))]
                placement.append(Worker(name, tuple(free[name][:size])))
                free[name] = free[name][size:]
            if len(placement) == workers:
                jobs.append(replace(job, state="running", placement=tuple(placement)))
                continue
            for worker in placement:
                free[worker.node] = sorted([*free[worker.node], *worker.gpus])
        depends = (jobs[0].id,) if jobs and rng.random() < 0.2 else ()
        if job.gpus <= sum(n.gpus for n in nodes if n.state != "down"):
            jobs.append(replace(job, depends_on=depends))
    limits = Limits(
        migration_budget_gpus=int(rng.integers(0, 24)),
        next_gangs=int(rng.integers(0, 4)),
        spare_nodes_per_domain=int(rng.integers(0, 2)),
    )
    snapshot = Snapshot("random", "2026-01-31T12:00:00Z", tuple(nodes), tuple(jobs), limits=limits)
    assert not cross_check(snapshot)
    return snapshot


def fewest(places: Counter[str], gpus: int) -> int:
    """How many of the roomiest places hold so many GPUs together."""
    needed, room = 1, sorted(places.values(), reverse=True)
    while sum(room[:needed]) < gpus and needed < len(room):
        needed += 1
    return needed


def plain_cost(snapshot: Snapshot, weights: PlacementWeights, before: Snapshot) -> float:
    """The cost by its definition, from the records alone."""
    nodes = {node.id: node for node in snapshot.nodes}
    jobs = {job.id: job for job in snapshot.jobs}
    gangs: dict[str, list[Job]] = {}
    for job in snapshot.jobs:
        gangs.setdefault(job.gang_id, []).append(job)
    racks, whole = Counter[str](), Counter[str]()
    for node in snapshot.nodes:
        racks[node.rack] += 0 if node.state == "down" else node.gpus - len(node.unavailable_gpus)
        whole[node.nvlink_domain] += 0 if node.state == "down" else node.gpus - len(node.unavailable_gpus)
    cost = 0.0
    for members in gangs.values():
        domains, used, drained = Counter[str](), set(), 0
        for job in members:
            for worker in job.placement:
                node = nodes[worker.node]
                domains[node.nvlink_domain] += len(worker.gpus)
                used.add(node.rack)
                drained += len(worker.gpus) * (node.state != "up")
        total = domains.total()
        if total:
            pairs = sum(a != b for a, b in combinations(list(domains.elements()), 2)) * 2 / total**2
            traffic = sum(job.gpus * job.traffic_gb_per_s for job in members) / weights.scale_out_gb_per_s
            gpus = sum(job.gpus for job in members)
            cost += traffic * pairs + weights.drain * drained
            cost += weights.rack * max(0, len(used) - fewest(racks, gpus))
            cost += weights.domain * max(0, len(domains) - fewest(whole, gpus))
            gap = max(domains.values()) - min(domains.values())
            cost += (weights.uneven + traffic / gpus / 2) * gap
    capacity, free = Counter[str](), Counter[str]()
    for node in snapshot.nodes:
        if node.state == "up":
            capacity[node.nvlink_domain] += node.gpus - len(node.unavailable_gpus)
    free.update(capacity)
    for job in snapshot.jobs:
        for worker in job.placement:
            if nodes[worker.node].state == "up":
                free[nodes[worker.node].nvlink_domain] -= len(worker.gpus)
    cost += weights.stranded * sum(free[d] * (1 - free[d] / capacity[d]) for d in capacity if capacity[d])
    full = [domain for domain in capacity if 2 * capacity[domain] > max(capacity.values())]
    held = sorted(capacity[domain] - free[domain] for domain in full)
    cost += weights.next_gang * sum(held[: snapshot.limits.next_gangs])
    mean = np.mean([job.priority for job in snapshot.jobs]) if snapshot.jobs else 1.0
    for old in before.jobs:
        new = jobs[old.id]
        if not old.placement and not new.placement:
            cost += weights.waiting * old.gpus * float(np.clip(old.priority / mean, 0.1, 10.0))
        moved = Counter(w.node for w in new.placement) - Counter(w.node for w in old.placement)
        if old.placement and moved:
            restart_s = weights.restart_s if old.restore_s is None else old.restore_s
            seconds = restart_s + 2 * old.checkpoint_gb / weights.checkpoint_gb_per_s + old.unsaved_s
            cost += old.gpus * seconds / weights.amortisation_s
    return cost


@given(st.integers(0, 10**6))
def test_the_cost_is_the_definition_s(seed: int) -> None:
    snapshot = random_cluster(seed)
    problem = Placement.from_snapshot(snapshot)
    weights = PlacementWeights()
    assert problem.cost(problem.incumbent()) == pytest.approx(plain_cost(snapshot, weights, snapshot))
    found = problem.search(problem.incumbent(), 400, np.random.default_rng(seed)).decision
    after = apply_actions(snapshot, problem.actions(found))
    assert problem.cost(found) == pytest.approx(plain_cost(after, weights, snapshot))


@given(st.integers(0, 10**6))
def test_a_search_keeps_every_rule_and_never_ends_worse(seed: int) -> None:
    snapshot = random_cluster(seed)
    problem = Placement.from_snapshot(snapshot)
    start = problem.incumbent()
    found = problem.search(start, 400, np.random.default_rng(seed)).decision
    assert problem.cost(found) <= problem.cost(start)
    actions = problem.actions(found)
    after = apply_actions(snapshot, actions)
    assert not cross_check(after)
    assert apply_actions(after, inverse(actions)) == snapshot
    assert problem.bound() <= problem.cost(found) + 1e-9
    jobs = {job.id: job for job in snapshot.jobs}
    states = {node.id: node.state for node in snapshot.nodes}
    moved = 0
    for action in actions:
        assert isinstance(action, Migrate | Place)
        job = jobs[action.job]
        assert job.movable or not job.placement
        assert not (job.state == "pending" and job.depends_on)
        gone = Counter(w.node for w in action.before)
        come = Counter(w.node for w in action.after) - gone
        assert all(states[node] == "up" for node in come)
        moved += come.total() * job.gpus_per_worker if isinstance(action, Migrate) else 0
    assert moved <= snapshot.limits.migration_budget_gpus


@given(st.integers(0, 10**6))
def test_a_window_is_exact_for_one_move_and_for_two(seed: int) -> None:
    problem = Placement.from_snapshot(random_cluster(seed))
    window = problem.window(problem.incumbent(), 6, np.random.default_rng(seed))
    spins = window.ising.spins
    for size in (0, 1, 2):
        for made in combinations(range(spins), size):
            string = np.ones(spins, np.int8)
            string[list(made)] = -1
            exact = problem.cost(window.sew(string))
            assert energies(window.ising, string)[0] == pytest.approx(exact)


@given(st.integers(0, 10**6), st.integers(0, 2**16))
def test_every_string_of_a_window_is_feasible(seed: int, bits: int) -> None:
    snapshot = random_cluster(seed)
    problem = Placement.from_snapshot(snapshot)
    window = problem.window(problem.incumbent(), 8, np.random.default_rng(seed))
    string = np.array([1 - 2 * (bits >> spin & 1) for spin in range(window.ising.spins)], np.int8)
    sewn = window.sew(string)
    assert not cross_check(apply_actions(snapshot, problem.actions(sewn)))
    moved = next(figure.value for figure in problem.figures(sewn) if figure.name == "placement.moved_gpus")
    assert moved <= snapshot.limits.migration_budget_gpus


def test_two_spread_gangs_are_brought_home(cluster: Snapshot, rng: np.random.Generator) -> None:
    problem = Placement.from_snapshot(cluster)
    found = problem.search(problem.incumbent(), 5_000, rng).decision
    after = {figure.name: figure.value for figure in problem.figures(found)}
    assert after["placement.racks_per_gang"] == 1.0
    assert after["placement.cross_domain_traffic_gb_per_s"] == 0.0
    assert after["placement.waiting_gpus"] == 4.0  # "later" depends on a job that still runs


def test_without_a_budget_nothing_that_runs_is_moved(cluster: Snapshot, rng: np.random.Generator) -> None:
    still = replace(cluster, limits=replace(cluster.limits, migration_budget_gpus=0))
    problem = Placement.from_snapshot(still)
    actions = problem.actions(problem.search(problem.incumbent(), 5_000, rng).decision)
    assert {action.kind for action in actions} == {"place"}


def test_a_job_whose_cap_other_nodes_refuse_stays_where_it_is(cluster: Snapshot, rng: np.random.Generator) -> None:
    capped = replace(cluster.jobs[0], gpu_power_cap_w=250.0)
    nodes = tuple(replace(node, gpu_power_min_w=300.0) if node.rack == "west" else node for node in cluster.nodes)
    problem = Placement.from_snapshot(replace(cluster, nodes=nodes, jobs=(capped, *cluster.jobs[1:])))
    actions = problem.actions(problem.search(problem.incumbent(), 5_000, rng).decision)
    assert "red" not in {action.job for action in actions if isinstance(action, Migrate)}
    assert "blue" in {action.job for action in actions if isinstance(action, Migrate)}


def test_reasons_say_what_got_closer(cluster: Snapshot, rng: np.random.Generator) -> None:
    problem = Placement.from_snapshot(cluster)
    actions = problem.actions(problem.search(problem.incumbent(), 5_000, rng).decision)
    reasons = {action.job: action.reason for action in actions if isinstance(action, Migrate)}
    said = "gang on 1 NVLink domain(s) instead of 2, 1 rack(s) instead of 2; stopping it once costs 0.27 GPU-h"
    assert said in reasons.values()


def test_the_same_seed_gives_the_same_actions(cluster: Snapshot) -> None:
    problem = Placement.from_snapshot(cluster)
    once, again = (
        problem.actions(problem.search(problem.incumbent(), 5_000, np.random.default_rng(1)).decision) for _ in range(2)
    )
    assert once == again


def test_the_likelier_trouble_is_the_more_often_a_domain_is_in_a_window() -> None:
    nodes = tuple(Node(f"n{index}", "H100", 8, f"n{index}", f"rack-{index // 4}") for index in range(16))
    jobs = tuple(Job(f"j{index}", 1, 4, "running", (Worker(f"n{index}", (0, 1, 2, 3)),)) for index in range(16))
    snapshot = Snapshot("sixteen", "2026-01-31T12:00:00Z", nodes, jobs)
    touched = []
    for likely in (0.0, 0.5, 1.0):
        problem = Placement.from_snapshot(snapshot, trouble={"n3": likely})
        count, third = 0, problem.node_ids.index("n3")
        for seed in range(20):
            window = problem.window(problem.incumbent(), 4, np.random.default_rng(seed))
            everything = window.sew(-np.ones(window.ising.spins, np.int8))
            changed = problem.incumbent().node_of != everything.node_of
            count += third in everything.node_of[changed] or third in problem.incumbent().node_of[changed]
        touched.append(count)
    assert touched[0] < touched[2]
    assert touched[0] <= touched[1] <= touched[2]


def trays(*racks: int) -> tuple[Node, ...]:
    """NVLink domains of so many four-GPU trays, each a rack."""
    return tuple(
        Node(f"r{rack}-{tray:02}", "GB200", 4, f"r{rack}", f"r{rack}", 200.0, 1200.0, 60.0)
        for rack, count in enumerate(racks)
        for tray in range(count)
    )


def on(*names: str) -> tuple[Worker, ...]:
    return tuple(Worker(name, (0, 1, 2, 3)) for name in names)


def slices(problem: Placement, decision: Placed, job: str) -> list[int]:
    """GPUs of a job in each domain that it uses."""
    number = [each.id for each in problem.jobs].index(job)
    workers = range(problem.crew.job_first[number], problem.crew.job_first[number + 1])
    domains = Counter(problem.room.domain[decision.node_of[worker]] for worker in workers)
    return sorted(4 * count for count in domains.values())


@pytest.mark.parametrize("traffic", [0.0, 40.0])
def test_a_gang_of_several_domains_gets_even_slices_in_the_fewest(traffic: float) -> None:
    nodes = trays(6, 6, 6, 6, 6)
    job = Job("gang", 12, 4, "pending", traffic_gb_per_s=traffic)
    waits = Snapshot("five-racks", "2026-01-31T12:00:00Z", nodes, (job, Job("x", 1, 4, "running", on("r0-00"))))
    problem = Placement.from_snapshot(waits)
    found = problem.search(problem.incumbent(), 20_000, np.random.default_rng(1)).decision
    assert slices(problem, found, "gang") == [24, 24]
    wide = replace(waits, jobs=(replace(job, workers=15), *waits.jobs[1:]))
    problem = Placement.from_snapshot(wide)
    found = problem.search(problem.incumbent(), 20_000, np.random.default_rng(1)).decision
    assert slices(problem, found, "gang") == [20, 20, 20]  # not 24 + 24 + 12
    figures = {figure.name: figure.value for figure in problem.figures(found)}
    assert figures["placement.uneven_gangs"] == 0.0


def test_domains_are_emptied_for_the_next_gangs_of_their_size() -> None:
    jobs = tuple(
        Job(f"j{rack}{tray}", 1, 4, "running", on(f"r{rack}-{tray:02}"))
        for rack, held in enumerate((1, 2, 2, 3))
        for tray in range(held)
    )
    snapshot = Snapshot("four-racks", "2026-01-31T12:00:00Z", trays(6, 6, 6, 6), jobs)
    fit = []
    for gangs, stranded in ((0, 0.0), (1, 0.0), (2, 0.0), (3, 0.1)):
        weights = PlacementWeights(stranded=stranded, next_gang=1.0)
        problem = Placement.from_snapshot(replace(snapshot, limits=Limits(next_gangs=gangs)), weights)
        found = problem.search(problem.incumbent(), 20_000, np.random.default_rng(1)).decision
        figures = {figure.name: figure.value for figure in problem.figures(found)}
        fit.append(figures["placement.whole_gangs_fit"])
    assert fit == [0.0, 1.0, 2.0, 2.0]  # 32 of 96 GPUs are held: two racks at least


def test_spare_nodes_stay_free_and_nobody_is_moved_to_get_more() -> None:
    jobs = (
        *(Job(f"a{tray}", 1, 4, "running", on(f"r0-{tray:02}"), movable=False) for tray in range(6)),
        Job("b", 1, 4, "running", on("r1-00"), movable=False),
        Job("wide", 5, 4, "pending", traffic_gb_per_s=1.0),
        Job("less", 4, 4, "pending", traffic_gb_per_s=1.0),
    )
    for spare, placed in ((0, {"wide"}), (1, {"less"})):
        snapshot = Snapshot(
            "two", "2026-01-31T12:00:00Z", trays(6, 6), jobs, limits=Limits(spare_nodes_per_domain=spare)
        )
        problem = Placement.from_snapshot(snapshot)
        actions = problem.actions(problem.search(problem.incumbent(), 5_000, np.random.default_rng(1)).decision)
        assert {action.job for action in actions if isinstance(action, Place)} == placed
        assert not [action for action in actions if isinstance(action, Migrate)]


def test_the_dearer_a_stop_the_less_is_moved(cluster: Snapshot, rng: np.random.Generator) -> None:
    problem = Placement.from_snapshot(cluster)
    assert problem.actions(problem.search(problem.incumbent(), 5_000, rng).decision)
    for changes in ({"unsaved_s": 86_400.0}, {"restore_s": 86_400.0}, {"checkpoint_gb": 400_000.0}):
        jobs = tuple(replace(job, **changes) if job.placement else job for job in cluster.jobs)  # type: ignore[arg-type]
        dear = Placement.from_snapshot(replace(cluster, jobs=jobs))
        actions = dear.actions(dear.search(dear.incumbent(), 5_000, np.random.default_rng(1)).decision)
        assert not [action for action in actions if isinstance(action, Migrate)]


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_the_order_of_nodes_and_jobs_in_the_snapshot_does_not_matter(seed: int) -> None:
    snapshot = random_cluster(seed)
    rng = np.random.default_rng(seed)
    nodes = tuple(snapshot.nodes[index] for index in rng.permutation(len(snapshot.nodes)))
    jobs = tuple(snapshot.jobs[index] for index in rng.permutation(len(snapshot.jobs)))
    plans = []
    for state in (snapshot, replace(snapshot, nodes=nodes, jobs=jobs)):
        problem = Placement.from_snapshot(state)
        plans.append(problem.actions(problem.search(problem.incumbent(), 400, np.random.default_rng(seed)).decision))
    assert plans[0] == plans[1]


def test_a_small_change_of_the_input_changes_few_migrations(cluster: Snapshot) -> None:
    def migrations(state: Snapshot) -> set[str]:
        problem = Placement.from_snapshot(state)
        found = problem.search(problem.incumbent(), 5_000, np.random.default_rng(1)).decision
        return {step.job for step in problem.actions(found) if isinstance(step, Migrate)}

    plan = migrations(cluster)
    assert plan
    for changed in (
        replace(cluster, jobs=tuple(job for job in cluster.jobs if job.id != "later")),
        replace(cluster, jobs=(replace(cluster.jobs[0], checkpoint_gb=11.0), *cluster.jobs[1:])),
    ):
        assert migrations(changed) == plan


def best_of_all(problem: Placement) -> float:
    """The lowest cost of all feasible placements: every worker on every node that it may stand on."""
    crew, room = problem.crew, problem.room
    choices = []
    for worker in range(crew.home.size):
        home, model = crew.home[worker], crew.model[worker]
        if home >= 0 and not crew.movable[worker]:
            choices.append([home])
        elif home < 0 and not crew.job_ready[crew.job[worker]]:
            choices.append([-1])
        else:
            nodes = [
                n for n in range(room.capacity.size) if n == home or (room.open[n] and model in (-1, room.model[n]))
            ]
            choices.append(nodes if home >= 0 else [-1, *nodes])
    best = np.inf
    for nodes in product(*choices):
        node_of = np.array(nodes, np.int64)
        held = np.bincount(node_of[node_of >= 0], crew.size[node_of >= 0], room.capacity.size)
        if (held > room.capacity).any():
            continue
        jobs = [node_of[low:high] for low, high in pairwise(crew.job_first)]
        if any((job < 0).any() != (job < 0).all() or len(set(room.model[job[job >= 0]])) > 1 for job in jobs):
            continue
        placed = Placed(node_of)
        moved = next(f.value for f in problem.figures(placed) if f.name == "placement.moved_gpus")
        busy = set(nodes)
        spare = np.bincount(
            room.domain,
            [room.open[n] and room.capacity[n] > 0 and n not in busy for n in range(room.capacity.size)],
            room.domain_spare.size,
        )
        if moved <= crew.budget and (spare >= room.domain_spare).all():
            best = min(best, problem.cost(placed))
    return best


@pytest.mark.slow
def test_a_search_reaches_the_best_of_all_placements_on_small_clusters() -> None:
    reached = small = 0
    for seed in range(400):
        problem = Placement.from_snapshot(random_cluster(seed))
        if not 2 <= problem.crew.home.size <= 6 or problem.room.capacity.size > 5:
            continue
        best = best_of_all(problem)
        found = problem.cost(problem.search(problem.incumbent(), 3_000, np.random.default_rng(seed)).decision)
        small += 1
        assert problem.bound() <= best + 1e-9
        assert found >= best - 1e-9
        reached += found <= best + 1e-9
    assert small >= 20
    assert reached / small >= 0.95


@pytest.mark.slow
def test_cp_sat_finds_the_best_of_all_placements_and_the_search_comes_close() -> None:
    small = reached = 0
    for seed in range(60):
        problem = Placement.from_snapshot(random_cluster(seed))
        if not 2 <= problem.crew.home.size <= 12:
            continue
        exact = cp_sat(problem, 20.0, 1)
        best = problem.cost(exact.decision)
        if not exact.proven:
            continue
        if problem.crew.home.size <= 6 and problem.room.capacity.size <= 5:
            assert best == pytest.approx(best_of_all(problem), abs=1e-4)
        found = problem.cost(problem.search(problem.incumbent(), 30_000, np.random.default_rng(seed)).decision)
        small += 1
        assert problem.bound() <= best + 1e-4
        assert found >= best - 1e-4
        reached += found <= best + 1e-3
    assert small >= 20
    assert reached / small >= 0.95
