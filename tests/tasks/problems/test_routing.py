"""Is the routing noun exact, feasible, never worse, and as strong as the balancer that people use?"""

import json
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.crosscheck import cross_check
from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job, Worker
from data.schemas.routing import ExpertDeployment, Transition
from data.transition import apply_actions
from qiskit_solvers.ising import energies
from tasks.fan_out.same import same
from tasks.problems.routing import ExpertMap, Routing, RoutingWeights
from tasks.problems.routing_balance import balancedness
from tasks.problems.routing_kernel import change_slots, state_of
from tasks.problems.routing_proposals import sample
from tasks.problems.routing_search import total_cost
from tasks.problems.routing_start import fresh_map
from tasks.problems.routing_state import Transitions
from tasks.validation.routing_measures import routing_measures
from tasks.yardsticks.eplb import Eplb, contiguous

NO_FLOW = Transitions(*(np.zeros(0, np.int64) for _ in range(3)), np.zeros(0))


def problem(
    rng: np.random.Generator,
    *,
    layers: int = 4,
    experts: int = 10,
    ranks: int = 4,
    per_rank: int = 4,
    domains: int = 2,
    budget: int = 10_000,
    flow: bool = True,
    weights: RoutingWeights | None = None,
) -> Routing:
    """Return a random problem with experts in random slots."""
    loads = np.round(rng.lognormal(5.0, 1.0, (layers, experts)))
    slots = ranks * per_rank
    spare = [rng.integers(0, experts, slots - experts) for _ in range(layers)]
    held = np.array([rng.permutation(np.concatenate([np.arange(experts), extra])) for extra in spare])
    steps = NO_FLOW
    if flow and layers > 1:
        layer, source, target = np.nonzero(rng.random((layers - 1, experts, experts)) < 0.4)
        steps = Transitions(layer, source, target, np.round(rng.lognormal(3.0, 1.0, layer.size)))
    return Routing(
        deployment="moe",
        loads=loads,
        last_loads=loads,
        in_force=held,
        domain=np.arange(ranks) * domains // ranks,
        transitions=steps,
        budget=budget,
        weights=weights or RoutingWeights(traffic=0.5, move=0.01),
    )


def plain_cost(routing: Routing, placement: np.ndarray) -> float:
    """Return the cost from its definition, in plain Python."""
    ranks, cost = routing.domain.size, 0.0
    room = placement.shape[1] // ranks
    held = [[row[rank * room : (rank + 1) * room] for rank in range(ranks)] for row in placement.tolist()]
    for layer, row in enumerate(placement.tolist()):
        counts = Counter(row)
        load = [sum(routing.loads[layer, e] / counts[e] for e in experts) for experts in held[layer]]
        if sum(load):
            cost += max(load) / (sum(load) / ranks) - 1.0
    cost += routing.weights.move * plain_moved(routing, placement)
    steps, across = routing.transitions, 0.0
    where = [
        [[routing.domain[rank] for rank in range(ranks) for e in layer[rank] if e == expert] for expert in range(50)]
        for layer in held
    ]
    for layer, source, target, tokens in zip(steps.layer, steps.source, steps.target, steps.tokens, strict=True):
        homes = where[layer][source]
        across += tokens * sum(home not in where[layer + 1][target] for home in homes) / len(homes)
    return cost + routing.weights.traffic * len(held) * across / (steps.tokens.sum() or 1.0)


def plain_moved(routing: Routing, placement: np.ndarray) -> int:
    blocks = (*placement.shape[:1], routing.domain.size, -1)
    pairs = zip(
        placement.reshape(blocks).reshape(-1, placement.shape[1] // routing.domain.size).tolist(),
        routing.in_force.reshape(blocks).reshape(-1, placement.shape[1] // routing.domain.size).tolist(),
        strict=True,
    )
    return sum((Counter(now) - Counter(was)).total() for now, was in pairs)


def assert_feasible(routing: Routing, decision: ExpertMap) -> None:
    experts = set(range(routing.loads.shape[1]))
    assert all(set(row) == experts for row in decision.expert_of.tolist())
    moved = plain_moved(routing, decision.expert_of)
    assert moved <= routing.budget
    assert moved == np.count_nonzero(decision.expert_of != routing.in_force), "only moved replicas change their slot"
    assert not decision.expert_of.flags.writeable


@given(seed=st.integers(0, 10_000), flow=st.booleans(), domains=st.integers(1, 4))
@settings(max_examples=25)
def test_the_cost_is_what_its_definition_says(seed, flow, domains):
    rng = np.random.default_rng(seed)
    routing = problem(rng, flow=flow, domains=domains)
    other = np.apply_along_axis(rng.permutation, 1, routing.in_force)
    for placement in (routing.in_force, other):
        assert routing.cost(ExpertMap(placement)) == pytest.approx(plain_cost(routing, placement), abs=1e-12)


@given(seed=st.integers(0, 10_000), domains=st.integers(1, 4))
@settings(max_examples=15)
def test_differences_are_exact_all_along_a_random_walk(seed, domains):
    rng = np.random.default_rng(seed)
    layout = problem(rng, domains=domains).layout
    state = state_of(layout, layout.in_force)
    for _ in range(60):
        changes, costs = sample(layout, state, rng.integers(0, 4, 1), rng)
        for (layer, slot, other, expert, moved), cost in zip(changes.tolist(), costs, strict=True):
            before, moved_before = total_cost(layout, state.slots), state.moved.sum()
            change_slots(layout, state, layer, slot, other, expert)
            assert total_cost(layout, state.slots) - before == pytest.approx(cost, abs=1e-10)
            assert state.moved.sum() - moved_before == moved
    anew = state_of(layout, state.slots)
    for name in ("counts", "rank_time", "squares", "peak_rank", "gathered", "presence", "leaving", "arriving", "moved"):
        np.testing.assert_allclose(getattr(state, name), getattr(anew, name), atol=1e-9, err_msg=name)
    assert not state.rank_room.any()


@given(seed=st.integers(0, 10_000), budget=st.integers(0, 30), effort=st.sampled_from([1, 50, 3_000]))
@settings(max_examples=25)
def test_search_keeps_every_expert_and_the_budget_and_is_never_worse(seed, budget, effort):
    rng = np.random.default_rng(seed)
    routing = problem(rng, budget=budget)
    found = routing.search(routing.incumbent(), effort, rng)
    assert_feasible(routing, found.decision)
    assert routing.cost(found.decision) <= routing.cost(routing.incumbent())
    assert found.evaluations <= effort
    again = routing.search(found.decision, effort, rng)
    assert_feasible(routing, again.decision)
    assert routing.cost(again.decision) <= routing.cost(found.decision)


@given(seed=st.integers(0, 10_000), budget=st.integers(0, 12))
@settings(max_examples=15)
def test_windows_are_feasible_and_exact_for_one_move_and_for_two(seed, budget):
    rng = np.random.default_rng(seed)
    routing = problem(rng, budget=budget)
    decision = routing.search(routing.incumbent(), 200, rng).decision
    window = routing.window(decision, 8, rng)
    spins = window.ising.spins
    strings = np.ones((1 + spins + spins * (spins - 1) // 2, spins), np.int8)
    for row, made in enumerate([(i, j) for i in range(spins) for j in range(i, spins)], start=1):
        strings[row, list(made)] = -1
    for string, energy in zip(strings, energies(window.ising, strings), strict=True):
        sewn = window.sew(string)
        assert_feasible(routing, sewn)
        assert routing.cost(sewn) == pytest.approx(energy, abs=1e-9)
    for string in rng.choice(np.array([-1, 1], np.int8), (10, spins)):
        assert_feasible(routing, window.sew(string))
    assert np.array_equal(window.sew(np.ones(spins, np.int8)).expert_of, decision.expert_of)


def test_windows_find_moves_that_gain_where_nothing_was_searched(rng):
    routing = problem(rng)
    window = routing.window(routing.incumbent(), 12, rng)
    assert window.ising.spins == 12
    single = 1 - 2 * np.eye(12, dtype=np.int8)
    assert energies(window.ising, single).min() < routing.cost(routing.incumbent()) - 0.01


@given(
    seed=st.integers(0, 10_000),
    budget=st.integers(0, 5),
    shape=st.sampled_from([(1, 3, 2, 2), (2, 2, 3, 1), (1, 3, 3, 2), (1, 2, 2, 3)]),
    move=st.sampled_from([0.0, 0.05]),
)
@settings(max_examples=40)
def test_the_bound_is_below_the_best_of_all_maps(seed, budget, shape, move):
    layers, experts, ranks, room = shape
    weights = RoutingWeights(traffic=0.5, move=move)
    routing = problem(
        np.random.default_rng(seed),
        layers=layers, experts=experts, ranks=ranks, per_rank=room, budget=budget, weights=weights,
    )  # fmt: skip
    rows = [row for row in product(range(experts), repeat=ranks * room) if len(set(row)) == experts]
    maps = (np.array(whole) for whole in product(rows, repeat=layers))
    best = min(plain_cost(routing, each) for each in maps if plain_moved(routing, each) <= budget)
    assert 0.0 <= routing.bound() <= best + 1e-9
    if budget == 0:
        flat = problem(
            np.random.default_rng(seed), layers=layers, experts=experts, ranks=ranks, per_rank=room, budget=0, domains=1
        )
        assert flat.bound() == pytest.approx(flat.cost(flat.incumbent()))


def test_search_reaches_the_best_of_all_maps_on_small_problems():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        routing = problem(rng, layers=2, experts=3, ranks=2, per_rank=2, budget=3)
        rows = [row for row in product(range(3), repeat=4) if len(set(row)) == 3]
        maps = (np.array(whole) for whole in product(rows, repeat=2))
        best = min(plain_cost(routing, each) for each in maps if plain_moved(routing, each) <= 3)
        found = routing.search(routing.incumbent(), 4_000, rng)
        assert routing.cost(found.decision) == pytest.approx(best, abs=1e-9)


def test_the_same_seed_gives_the_same_map():
    routing = problem(np.random.default_rng(1), layers=6, budget=20)
    maps = [
        routing.search(routing.incumbent(), 5_000, np.random.default_rng(7)).decision.expert_of.tobytes()
        for _ in range(2)
    ]
    assert maps[0] == maps[1]
    windows = [routing.window(routing.incumbent(), 8, np.random.default_rng(7)).ising for _ in range(2)]
    assert np.array_equal(windows[0].J, windows[1].J)


def test_balancedness_is_mean_over_largest_summed_over_layers():
    # layer 0: expert 0 has two replicas of 3; ranks hold 3 + 2 and 3 + 4. Layer 1: ranks hold 1 + 1 and 1 + 9.
    loads = np.array([[6.0, 2.0, 4.0], [2.0, 1.0, 9.0]])
    placement = np.array([[0, 1, 0, 2], [1, 0, 0, 2]])
    assert balancedness(loads, placement, 2) == pytest.approx((6.0 + 6.0) / (7.0 + 10.0))
    assert balancedness(np.zeros((2, 3)), placement, 2) == 1.0


def test_a_layer_without_load_costs_nothing_and_is_left_alone(rng):
    routing = problem(rng, flow=False)
    loads = routing.loads.copy()
    loads[1] = 0.0
    idle = Routing("moe", loads, loads, routing.in_force, routing.domain, NO_FLOW, 1000)
    found = idle.search(idle.incumbent(), 5_000, rng).decision
    assert np.array_equal(found.expert_of[1], idle.in_force[1])
    assert idle.cost(found) == pytest.approx(plain_cost(idle, found.expert_of))


def test_without_budget_nothing_moves(rng):
    routing = problem(rng, budget=0)
    found = routing.search(routing.incumbent(), 2_000, rng)
    assert np.array_equal(found.decision.expert_of, routing.in_force)
    assert not routing.actions(found.decision)


def test_one_rank_and_nothing_to_gain_give_no_spins(rng):
    routing = problem(rng, ranks=1, per_rank=12, domains=1)
    assert routing.cost(routing.incumbent()) == pytest.approx(0.0)
    assert routing.window(routing.incumbent(), 8, rng).ising.spins == 0
    assert np.array_equal(routing.search(routing.incumbent(), 100, rng).decision.expert_of, routing.in_force)


def test_a_fresh_map_moves_nothing_where_the_map_in_force_is_a_fresh_one(rng):
    loads = rng.lognormal(0.0, 1.0, (3, 12))
    fresh = fresh_map(loads, contiguous(12, 16, 3), np.ones(4))
    shuffled = fresh.reshape(3, 4, 4)[:, rng.permutation(4)].reshape(3, 16)
    assert np.array_equal(
        np.sort(fresh_map(loads, shuffled, np.ones(4)).reshape(3, 4, 4)), np.sort(shuffled.reshape(3, 4, 4))
    )


def snapshot(rng: np.random.Generator, deployments: int = 1, budget: int = 40, placed: bool = True) -> Snapshot:
    """Return two nodes of two GPUs, each an NVLink domain, and a job on all four that serves the deployments."""
    routing = problem(rng, domains=2)
    steps = routing.transitions
    moe = tuple(
        ExpertDeployment(
            id=f"moe-{number}",
            job="serve",
            ranks=4,
            slots_per_rank=4,
            loads=(routing.loads[::-1].tolist(), routing.loads.tolist()),
            placement=tuple(tuple(row) for row in routing.in_force.tolist()),
            transitions=tuple(
                Transition(int(layer), int(source), int(target), float(tokens))
                for layer, source, target, tokens in zip(
                    steps.layer, steps.source, steps.target, steps.tokens, strict=True
                )
            ),
        )
        for number in range(deployments)
    )
    nodes = tuple(Node(name, "H100", 2, f"nvlink-{name}", "rack") for name in ("a", "b"))
    workers = (Worker("b", (0, 1)), Worker("a", (1, 0))) if placed else ()
    job = Job("serve", 2, 2, "running" if placed else "pending", workers)
    limits = Limits(migration_budget_replicas=budget)
    return Snapshot("test", "2026-01-31T12:00:00+00:00", nodes, (job,), deployments=moe, limits=limits)


def test_a_snapshot_poses_the_problem_of_its_last_window_on_its_jobs_domains(rng):
    state = snapshot(rng)
    routing = Routing.from_snapshot(state, "moe-0")
    assert routing.name == "routing:moe-0"
    assert routing.loads.tolist() == [list(row) for row in state.deployments[0].loads[-1]]
    assert routing.domain.tolist() == [0, 0, 1, 1]
    assert routing.budget == 40
    assert routing.cost(routing.incumbent()) == pytest.approx(plain_cost(routing, routing.in_force))
    forecast = routing.loads * 2.0
    assert np.array_equal(Routing.from_snapshot(state, "moe-0", loads=forecast).loads, forecast)
    with pytest.raises(ValueError, match="moe-9"):
        Routing.from_snapshot(state, "moe-9")
    with pytest.raises(ValueError, match="loads"):
        Routing.from_snapshot(state, "moe-0", loads=forecast[:-1])


def test_a_job_that_moves_from_whole_domains_to_others_poses_the_same_problem(rng):
    state = snapshot(rng)
    (job,) = state.jobs
    moved = replace(job, placement=(Worker("a", (0, 1)), Worker("b", (0, 1))))
    torn = replace(job, placement=(Worker("a", (0,)), Worker("b", (0, 1)), Worker("a", (1,))))
    here, there, apart = (Routing.from_snapshot(replace(state, jobs=(each,)), "moe-0") for each in (job, moved, torn))
    assert same(here, there)
    assert not same(here, apart)


def test_actions_turn_the_incumbent_into_the_decision_and_their_gains_add_up(rng):
    state = snapshot(rng)
    routing = Routing.from_snapshot(state, "moe-0")
    found = routing.search(routing.incumbent(), 5_000, rng).decision
    actions = routing.actions(found)
    after = apply_actions(state, actions)
    assert not cross_check(after)[1:]
    assert np.array_equal(np.array(after.deployments[0].placement), found.expert_of)
    gained = routing.cost(routing.incumbent()) - routing.cost(found)
    assert gained > 0.1
    assert sum(action.gain for action in actions) == pytest.approx(gained, abs=1e-9)
    assert all("slowest rank" in action.reason for action in actions)


def test_figures_are_those_that_the_validator_computes(rng):
    state = snapshot(rng)
    routing = Routing.from_snapshot(state, "moe-0", loads=rng.lognormal(5.0, 1.0, (4, 10)))
    found = routing.search(routing.incumbent(), 3_000, rng).decision
    after = apply_actions(state, routing.actions(found))
    for snapped, decision in ((state, routing.incumbent()), (after, found)):
        expected = routing_measures(snapped.deployments[0], state.deployments[0], snapped)
        for figure, measure in zip(routing.figures(decision), expected, strict=True):
            assert figure.name == measure.name
            assert figure.value == pytest.approx(measure.value, rel=1e-9)


def test_deployments_share_the_migration_budget(rng):
    state = snapshot(rng, deployments=3, budget=40)
    parts = [Routing.from_snapshot(state, each.id) for each in state.deployments]
    assert sum(part.budget for part in parts) == 40
    assert all(any("of 40 replicas" in note for note in part.notes) for part in parts)


def test_a_job_without_gpus_leaves_the_links_out_and_says_so(rng):
    routing = Routing.from_snapshot(snapshot(rng, placed=False), "moe-0")
    assert any("holds no GPUs" in note for note in routing.notes)
    assert routing.figures(routing.incumbent())[1].value == 0.0


@pytest.fixture(scope="module")
def deepseek(real_data) -> np.ndarray:
    """Loads of DeepSeek's 58 MoE layers, from a recording of prefill."""
    path = real_data / "sglang_deepseek_expert_counts" / "prefill_in1024.json"
    if not path.is_file():
        pytest.skip(f"no recording: {path} is missing")
    return np.array(json.loads(path.read_text())["logical_count"], dtype=np.float64)[3:]


@pytest.mark.slow
@pytest.mark.parametrize("budget", [64, 512, 1_000_000])
def test_a_deepseek_recording_is_never_routed_worse_than_by_eplb(deepseek, budget):
    eplb = Eplb(ranks=32, slots=288)(deepseek)
    routing = Routing("r1", deepseek, deepseek, eplb, np.arange(32) // 8, NO_FLOW, budget)
    found = routing.search(routing.incumbent(), 1_000_000, np.random.default_rng(0)).decision
    assert_feasible(routing, found)
    before, after = (balancedness(deepseek, each, 32) for each in (eplb, found.expert_of))
    assert after > before
    if budget == 1_000_000:
        assert after >= 0.9995


@pytest.mark.slow
def test_a_deepseek_recording_is_routed_better_than_by_eplb_from_a_map_that_nobody_balanced(deepseek):
    eplb = Eplb(ranks=32, slots=288)(deepseek)
    start = contiguous(256, 288, 58)
    routing = Routing("r1", deepseek, deepseek, start, np.arange(32) // 8, NO_FLOW, 1_000_000)
    found = routing.search(routing.incumbent(), 1_000_000, np.random.default_rng(0)).decision
    assert balancedness(deepseek, found.expert_of, 32) > balancedness(deepseek, eplb, 32)
    assert plain_moved(routing, found.expert_of) < 0.7 * plain_moved(routing, eplb)
