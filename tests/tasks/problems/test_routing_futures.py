"""Do maps hold for several futures, unequal and failed ranks, groups and split loads, and can they be reached?"""

from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.crosscheck import cross_check
from data.errors import PlanRefused
from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job, Worker
from data.schemas.plan import MoveReplicas, ReplicaLoad
from data.schemas.routing import ExpertDeployment, Transition
from data.transition import apply_actions, inverse
from tasks.problems.routing import ExpertMap, Routing, RoutingWeights
from tasks.problems.routing_balance import balancedness
from tasks.problems.routing_kernel import change_slots, state_of
from tasks.problems.routing_order import ordered_loads
from tasks.problems.routing_proposals import sample
from tasks.problems.routing_search import total_cost
from tasks.problems.routing_start import canonical
from tasks.problems.routing_state import Transitions
from tasks.validation.expert_moves import check_expert_moves, check_failed_ranks
from tasks.validation.routing_measures import routing_measures

NO_FLOW = Transitions(*(np.zeros(0, np.int64) for _ in range(3)), np.zeros(0))


def problem(rng, *, layers=3, experts=8, ranks=4, per_rank=3, budget=1_000, groups=2, **changes) -> Routing:
    """Return a random problem with several scenarios, ranks of unequal speed, groups, and an error of the loads."""
    futures = np.round(rng.lognormal(5.0, 1.0, (3, layers, experts)))
    futures[:, -1] *= rng.random((3, 1)) < 0.8  # some futures leave a layer without load
    slots = ranks * per_rank
    spare = [rng.integers(0, experts, slots - experts) for _ in range(layers)]
    held = np.array([rng.permutation(np.concatenate([np.arange(experts), extra])) for extra in spare])
    options = {
        "weights": RoutingWeights(traffic=0.5, move=0.01, risk=0.3),
        "scenarios": futures,
        "likelihood": rng.dirichlet(np.ones(3)),
        "rank_speed": rng.choice([0.5, 1.0, 1.0], ranks),
        "expert_groups": groups,
        "load_error": 0.3,
    }
    return Routing(
        "moe", futures[0], futures[0], held, np.arange(ranks) * 2 // ranks, NO_FLOW, budget, **{**options, **changes}
    )


def plain_cost(routing: Routing, placement: np.ndarray) -> float:
    """Return the cost from its definition, in plain Python."""
    ranks, slots = routing.domain.size, placement.shape[1]
    room, speed, cost = slots // ranks, routing.rank_speed, 0.0
    for layer, row in enumerate(placement.tolist()):
        counts = Counter(row)
        lost, squares = [], Counter()
        for chance, tokens in zip(routing.likelihood, routing.scenarios, strict=True):
            ideal = tokens[layer].sum() / speed.sum() or 1.0
            each = [tokens[layer, expert] / counts[expert] / ideal for expert in row]
            times = [sum(each[rank * room : (rank + 1) * room]) / speed[rank] for rank in range(ranks)]
            lost.append(max(0.0, max(times) - 1.0))
            squares.update({slot: chance * load for slot, load in enumerate(each)})
        cost += 0.7 * float(np.dot(routing.likelihood, lost)) + 0.3 * max(lost)
        cost += 0.3 * np.sqrt(2 * np.log(ranks) / ranks * sum(load**2 for load in squares.values()))
        where = Counter(
            (expert // (routing.loads.shape[1] // 2), slot // room * 2 // ranks) for slot, expert in enumerate(row)
        )
        cost += 0.5 / slots * (slots - sum(max(where[group, 0], where[group, 1]) for group in range(2)))
    pairs = zip(placement.reshape(-1, room).tolist(), routing.in_force.reshape(-1, room).tolist(), strict=True)
    return cost + 0.01 * sum((Counter(now) - Counter(was)).total() for now, was in pairs)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10)
def test_the_cost_over_futures_is_what_its_definition_says_and_differences_are_exact(seed):
    rng = np.random.default_rng(seed)
    routing = problem(rng)
    layout, state = routing.layout, state_of(routing.layout, routing.in_force)
    for _ in range(30):
        changes, costs = sample(layout, state, rng.integers(0, 3, 1), rng)
        for (layer, slot, other, expert, _), cost in zip(changes.tolist(), costs, strict=True):
            before = total_cost(layout, state.slots)
            change_slots(layout, state, layer, slot, other, expert)
            assert total_cost(layout, state.slots) - before == pytest.approx(cost, abs=1e-10)
    assert routing.cost(ExpertMap(state.slots)) == pytest.approx(plain_cost(routing, state.slots), abs=1e-9)
    anew = state_of(layout, state.slots)
    for name in ("rank_time", "squares", "peak_rank", "gathered", "counts"):
        np.testing.assert_allclose(getattr(state, name), getattr(anew, name), atol=1e-9, err_msg=name)


@given(seed=st.integers(0, 10_000), budget=st.integers(0, 3))
@settings(max_examples=10)
def test_the_bound_over_futures_is_below_the_best_of_all_maps(seed, budget):
    rng = np.random.default_rng(seed)
    routing = problem(rng, layers=1, experts=2, ranks=2, per_rank=2, budget=budget)
    rows = [np.array([row]) for row in product(range(2), repeat=4) if len(set(row)) == 2]
    moved = [Counter(row[0, :2].tolist()) - Counter(routing.in_force[0, :2].tolist()) for row in rows]
    moved_too = [Counter(row[0, 2:].tolist()) - Counter(routing.in_force[0, 2:].tolist()) for row in rows]
    allowed = [
        plain_cost(routing, row)
        for row, one, two in zip(rows, moved, moved_too, strict=True)
        if one.total() + two.total() <= budget
    ]
    assert routing.bound() <= min(allowed) + 1e-9
    found = routing.search(routing.incumbent(), 2_000, rng).decision
    assert routing.cost(found) == pytest.approx(min(allowed), abs=1e-9)


def test_a_map_for_several_futures_is_better_in_the_worst_of_them(rng):
    routing = problem(rng, groups=1, load_error=0.0, layers=6, rank_speed=np.ones(4))
    alone = replace(routing, scenarios=None, likelihood=None)
    robust, naive = (
        each.search(each.incumbent(), 30_000, np.random.default_rng(0)).decision for each in (routing, alone)
    )
    assert routing.cost(robust) < routing.cost(naive)
    worst = [
        min(balancedness(tokens, decision.expert_of, 4) for tokens in routing.scenarios) for decision in (robust, naive)
    ]
    assert worst[0] > worst[1]


def served_throughout(before, loads, per_rank, dead):
    """Walk the steps by their definition; return the final row, and the most staged loads of a rank in a step."""
    held, staged = list(before), 0
    live = [slot for slot in range(len(held)) if slot // per_rank not in dead]
    ever = {held[slot] for slot in live}
    for step in range(1 + max((load.step for load in loads), default=-1)):
        now = [load for load in loads if load.step == step]
        assert now, "no step is empty"
        out = {load.slot for load in now if not load.staged}
        assert ever <= {held[slot] for slot in live if slot not in out}
        staged = max([staged, *Counter(load.slot // per_rank for load in now if load.staged).values()])
        for load in now:
            held[load.slot] = load.expert
        assert ever <= {held[slot] for slot in live}
    return held, staged


@given(
    seed=st.integers(0, 100_000), experts=st.integers(2, 12), ranks=st.integers(2, 5), spare=st.integers(0, 3),
    dead=st.booleans(),
)  # fmt: skip
@settings(max_examples=80)
def test_every_expert_is_served_at_each_step_of_any_change(seed, experts, ranks, spare, dead):
    rng = np.random.default_rng(seed)
    per_rank = -(-experts // (ranks - dead)) + spare
    failed = frozenset({0} if dead else set())
    live = (ranks - dead) * per_rank
    rows = [
        rng.permutation(np.concatenate([np.arange(experts), rng.integers(0, experts, live - experts)]))
        for _ in range(2)
    ]
    lost = rng.integers(0, experts, per_rank * dead)
    before, after = (np.concatenate([lost, row])[None] for row in rows)
    before, after = before[0].tolist(), canonical(after, before, ranks)[0].tolist()
    loads = ordered_loads(before, after, per_rank, failed)
    held, staged = served_throughout(before, loads, per_rank, failed)
    assert held == after
    assert staged <= 1


def test_experts_that_change_places_need_a_spare_buffer_only_where_no_slot_can_be_spared():
    swapped = ordered_loads((0, 1, 2, 3), (2, 1, 0, 3), 2)
    assert [(load.slot, load.expert, load.staged) for load in swapped] == [(0, 2, True), (2, 0, True)]
    roomy = ordered_loads((0, 1, 2, 3, 1, 3), (2, 1, 0, 3, 1, 3), 2)
    assert not any(load.staged for load in roomy)
    assert served_throughout((0, 1, 2, 3, 1, 3), roomy, 2, ())[0] == [2, 1, 0, 3, 1, 3]


def deployed(rng, *, speed=(), shares=(), budget=100, **changes) -> Snapshot:
    """Return two nodes of two GPUs, each an NVLink domain, with a mixture of experts on all four."""
    loads = np.round(rng.lognormal(5.0, 1.0, (2, 3, 7)))
    rows = tuple((*range(7), *rng.integers(0, 7, 5).tolist()) for _ in range(3))
    flow = tuple(Transition(layer, int(a), int(b), 10.0) for layer in range(2) for a, b in rng.integers(0, 7, (9, 2)))
    nested = tuple(tuple(tuple(layer) for layer in window) for window in loads.tolist())
    moe = ExpertDeployment("moe", "serve", 4, 3, nested, rows, flow, rank_speed=speed, shares=shares, **changes)
    nodes = tuple(Node(name, "H100", 2, f"nvlink-{name}", "rack") for name in ("a", "b"))
    job = Job("serve", 2, 2, "running", (Worker("a", (0, 1)), Worker("b", (0, 1))))
    limits = Limits(migration_budget_replicas=budget)
    state = Snapshot("test", "2026-01-31T12:00:00+00:00", nodes, (job,), deployments=(moe,), limits=limits)
    assert cross_check(state) == ()
    return state


class Planned:
    """As much of a plan as the two checks look at."""

    def __init__(self, actions):
        self.actions, self.inverse = actions, inverse(actions)


def carried_out(state, routing, decision) -> Snapshot:
    """Return the state after a decision, having checked all that a plan promises of it."""
    actions = routing.actions(decision)
    after = apply_actions(state, actions)
    assert cross_check(after) == ()
    assert apply_actions(after, inverse(actions)) == state
    assert check_expert_moves(Planned(actions), state, after).passed
    assert check_failed_ranks(state, after).passed
    gained = routing.cost(routing.incumbent()) - routing.cost(decision)
    assert sum(action.gain for action in actions) == pytest.approx(gained, abs=1e-6)
    expected = routing_measures(after.deployments[0], state.deployments[0], after)
    for figure, measure in zip(routing.figures(decision), expected, strict=True):
        assert (figure.name, figure.value) == (measure.name, pytest.approx(measure.value, rel=1e-9))
    return after


@pytest.mark.parametrize("uneven", [False, True])
def test_experts_of_a_failed_rank_are_served_elsewhere(rng, uneven):
    state = deployed(rng, speed=(0.0, 1.0, 1.0, 0.5))
    routing = Routing.from_snapshot(state, "moe", weights=RoutingWeights(uneven=uneven))
    before = routing.figures(routing.incumbent())[-1]
    assert before.name == "routing.moe.unserved_experts"
    assert before.value > 0
    assert any("1 rank(s) have failed" in note for note in routing.notes)
    found = routing.search(routing.incumbent(), 3_000, rng).decision
    assert routing.figures(found)[-1].value == 0.0
    assert routing.cost(found) < routing.cost(routing.incumbent()) - before.value
    after = carried_out(state, routing, found)
    assert all(now[:3] == was[:3] for now, was in zip(
        after.deployments[0].placement, state.deployments[0].placement, strict=True
    ))  # fmt: skip
    assert routing.window(routing.incumbent(), 6, rng).ising.spins == 0
    assert routing.window(found, 6, rng).ising.spins > 0


def test_without_budget_for_all_the_busiest_experts_of_a_failed_rank_come_first(rng):
    state = deployed(rng, speed=(0.0, 1.0, 1.0, 1.0), budget=1)
    routing = Routing.from_snapshot(state, "moe")
    missing = routing.figures(routing.incumbent())[-1].value
    assert missing > 1
    found = routing.search(routing.incumbent(), 3_000, rng).decision
    assert routing.figures(found)[-1].value == missing - 1
    carried_out(state, routing, found)
    assert any("find no spare slot, or no migration budget" in note for note in routing.notes)


def test_split_loads_are_stated_undone_and_never_worse_than_even_ones(rng):
    state = deployed(rng)
    even, uneven = (Routing.from_snapshot(state, "moe", weights=RoutingWeights(uneven=on)) for on in (False, True))
    found = [each.search(each.incumbent(), 3_000, np.random.default_rng(1)).decision for each in (even, uneven)]
    assert uneven.cost(found[1]) <= even.cost(found[0]) + 1e-9
    assert found[1].shares is not None
    assert uneven.bound() <= uneven.cost(found[1])
    after = carried_out(state, uneven, found[1])
    assert after.deployments[0].shares
    # a state with shares poses a problem that keeps them up, and without a change needs no action
    again = Routing.from_snapshot(after, "moe")
    assert again.weights.uneven
    assert again.actions(again.incumbent()) == ()
    assert again.cost(again.incumbent()) + again.weights.move * uneven.figures(found[1])[2].value == pytest.approx(
        uneven.cost(found[1])
    )
    carried_out(after, again, again.search(again.incumbent(), 3_000, rng).decision)
    window = again.window(again.incumbent(), 6, rng)
    for string in rng.choice(np.array([-1, 1], np.int8), (5, window.ising.spins)):
        carried_out(after, again, window.sew(string))


def test_a_split_evens_out_what_no_map_can():
    # expert 0 stands beside a heavy one on rank 0 and a light one on rank 1
    loads = np.array([[6.0, 5.0, 1.0]])
    routing = Routing(
        "moe", loads, loads, np.array([[0, 1, 0, 2]]), np.zeros(2, np.int64), NO_FLOW, 0, RoutingWeights(uneven=True)
    )
    found = routing.search(routing.incumbent(), 10, np.random.default_rng(0)).decision
    assert found.shares[0] == pytest.approx([1 / 6, 1.0, 5 / 6, 1.0], abs=1e-5)
    assert routing.cost(found) == pytest.approx(0.0, abs=1e-5)


def test_shares_that_are_not_in_force_are_refused(rng):
    state = deployed(rng)
    row = state.deployments[0].placement[0]
    stale = MoveReplicas("moe", 0, (0,), row[:1], row[:1], "", 0.0, before_shares=(0.25,), after_shares=(0.5,))
    with pytest.raises(PlanRefused, match="shares of layer 0"):
        apply_actions(state, (stale,))


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ((ReplicaLoad(0, 0, 2), ReplicaLoad(1, 4, 0)), "during step 0"),
        ((ReplicaLoad(0, 0, 2, True), ReplicaLoad(1, 4, 0, True)), "after step 0"),
        ((ReplicaLoad(0, 0, 2, True),), "after step 0"),
        ((ReplicaLoad(0, 0, 2, True), ReplicaLoad(0, 4, 0, True), ReplicaLoad(0, 1, 1, True)), "at most 1 staged"),
        ((), "during step 0"),
    ],
)
def test_an_order_that_leaves_an_expert_without_service_fails(order, said):
    loads = (((1.0, 1.0, 1.0, 1.0, 1.0, 1.0),),)
    moe = ExpertDeployment("moe", "serve", 2, 3, loads, ((0, 1, 3, 4, 2, 5),))
    state = Snapshot("test", "2026-01-31T12:00:00+00:00", (), deployments=(moe,))
    swap = MoveReplicas("moe", 0, (0, 4), (0, 2), (2, 0), "", 0.0, order)
    found = check_expert_moves(Planned((swap,)), state, apply_actions(state, (swap,)))
    assert not found.passed
    assert said in found.detail
    good = replace(swap, order=ordered_loads((0, 1, 3, 4, 2, 5), (2, 1, 3, 4, 0, 5), 3))
    assert check_expert_moves(Planned((good,)), state, apply_actions(state, (good,))).passed


def test_groups_are_drawn_together_into_domains():
    rng = np.random.default_rng(3)
    loads = rng.lognormal(5.0, 0.3, (2, 16))
    start = np.array([rng.permutation(16) for _ in range(2)])
    routing = Routing(
        "moe", loads, loads, start, np.arange(4) // 2, NO_FLOW, 1_000, RoutingWeights(traffic=5.0), expert_groups=4
    )
    found = routing.search(routing.incumbent(), 20_000, rng).decision.expert_of
    homes = [{group: set() for group in range(4)} for _ in range(2)]
    for layer, slot in product(range(2), range(16)):
        homes[layer][found[layer, slot] // 4].add(slot // 8)
    assert all(len(domains) == 1 for layer in homes for domains in layer.values())


def test_balancedness_is_taken_over_ranks_and_not_over_layers():
    # both ranks take the same in each layer, the layers differ: over layers it would be 0.55
    loads, placement = np.array([[1.0, 1.0], [10.0, 10.0]]), np.array([[0, 1], [0, 1]])
    assert balancedness(loads, placement, 2) == 1.0
    totals = loads.sum(axis=1)
    assert totals.mean() / totals.max() == pytest.approx(0.55)
    assert balancedness(np.array([[1.0, 3.0]]), np.array([[0, 1]]), 2, speed=np.array([1.0, 3.0])) == 1.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"likelihood": np.array([0.5, 0.1, 0.1])}, "likelihood"),
        ({"rank_speed": np.zeros(4)}, "rank_speed"),
        ({"expert_groups": 3}, "expert_groups"),
        ({"shares": np.ones((1, 2))}, "shares"),
        ({"scenarios": np.ones((2, 2))}, "scenarios"),
        ({"load_error": -1.0}, "load_error"),
    ],
)
def test_futures_that_do_not_fit_are_refused(rng, changes, said):
    with pytest.raises(ValueError, match=said):
        problem(rng, **changes)
