"""Do searches keep to their evaluations, find a planted order, and give the same again?"""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest

from qiskit_solvers.anneal import Anneal
from qiskit_solvers.ising import diagonal, energies
from qiskit_solvers.one_hot import feasible
from qiskit_solvers.qaoa import Qaoa
from tasks.codecs.network_search.ledger import Ledger, Order, Spent
from tasks.codecs.network_search.noisy import NoisyQaoa
from tasks.codecs.network_search.quantum_search import LearntIsing, learnt, one_hot, repaired_order
from tasks.codecs.network_search.searches import (
    Alternating,
    AnnealOrders,
    Exhaustive,
    GreedySwaps,
    Random,
    Search,
    neighbours,
    relocated,
)
from tasks.problems.networks import Move, Networks, made
from tasks.refine import Effort, refine

HIDDEN = (2, 0, 3, 1, 4)


def price(order: Order) -> float:
    """Return 100 for the hidden order, more for every pair of its neighbours that is torn apart."""
    places = {mode: place for place, mode in enumerate(order)}
    torn = sum(abs(places[one] - places[other]) for one, other in itertools.pairwise(HIDDEN))
    return 100.0 * 1.3 ** (torn - len(HIDDEN) + 1) + places[HIDDEN[0]]


SEARCHES: list[Search] = [
    Exhaustive(),
    Random(),
    GreedySwaps(),
    AnnealOrders(),
    Alternating(),
    LearntIsing(Anneal(reads=16, sweeps=40)),
    LearntIsing(Qaoa(on="simulator", layers=3, shots=128)),
]


@pytest.mark.parametrize("search", [s for s in SEARCHES if s.kind != "random"], ids=lambda search: search.kind)
def test_searches_find_a_planted_order_among_all(search) -> None:
    ledger = Ledger(price, 110 if search.kind != "exhaustive" else math.factorial(5))
    search(ledger, (0, 1, 2, 3, 4), np.random.default_rng(1))
    assert ledger.best == HIDDEN


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search.kind)
def test_searches_start_with_the_start_keep_to_their_evaluations_and_repeat(search) -> None:
    curves = []
    for _ in range(2):
        ledger = Ledger(price, 25)
        search(ledger, (4, 3, 2, 1, 0), np.random.default_rng(3))
        assert next(iter(ledger.priced)) == (4, 3, 2, 1, 0)
        assert len(ledger.priced) <= 25
        assert all(sorted(order) == [0, 1, 2, 3, 4] for order in ledger.priced)
        curves.append(ledger.curve())
    assert curves[0].size == 25
    assert np.array_equal(*curves)
    assert (np.diff(curves[0]) <= 0.0).all()


def test_an_order_is_paid_for_once_and_no_more_than_there_is() -> None:
    ledger = Ledger(price, 2)
    ledger.price((0, 1, 2, 3, 4))
    ledger.price((0, 1, 2, 3, 4))
    assert ledger.left == 1
    ledger.price((1, 0, 2, 3, 4))
    with pytest.raises(Spent):
        ledger.price((2, 0, 1, 3, 4))


def test_a_search_that_goes_round_in_circles_is_stopped() -> None:
    def circles() -> Iterator[float]:
        ledger = Ledger(price, 3)
        while True:
            yield ledger.price((0, 1, 2, 3, 4))

    with pytest.raises(Spent):
        list(itertools.islice(circles(), 10_000))


def test_mirrored_orders_may_be_left_out() -> None:
    ledger = Ledger(lambda order: float(order[0]), 1000)
    Exhaustive(mirrored=False)(ledger, (0, 1, 2, 3), np.random.default_rng(0))
    assert len(ledger.priced) == 12
    assert not any(order[::-1] in ledger.priced for order in ledger.priced)


def test_neighbours_and_relocations_are_what_they_say() -> None:
    assert list(neighbours((0, 1, 2))) == [(1, 0, 2), (0, 2, 1)]
    assert relocated((0, 1, 2, 3), 0, 2) == (1, 2, 0, 3)
    assert made((0, 1, 2, 3), Move("before", 3, 1)) == (0, 3, 1, 2)
    assert made((0, 1, 2, 3), Move("swap", 3, 0)) == (3, 1, 2, 0)


def test_the_learnt_model_ranks_orders_as_their_prices_do() -> None:
    orders = list(itertools.permutations(range(4)))
    bits = {order: 2.0 ** sum(mode * place for place, mode in enumerate(order)) for order in orders}
    model = learnt(bits, 4, 0.01, 4.0)
    strings = (1 - 2 * one_hot(orders, 4)).astype(np.int8)
    assert feasible(model, strings).all()
    energy = energies(model, strings)
    assert np.corrcoef(energy, np.log(list(bits.values())))[0, 1] > 0.99
    everything = diagonal(model)
    assert everything.size == 1 << 16
    assert [repaired_order(string, 4) for string in strings] == orders


def test_a_string_that_repeats_a_mode_becomes_an_order() -> None:
    string = (1 - 2 * one_hot([(1, 1, 0)], 3)).astype(np.int8)[0]
    assert repaired_order(string, 3) == (1, 2, 0)


@pytest.mark.parametrize("solver", [Anneal(reads=16, sweeps=40), Qaoa(on="simulator", layers=4, shots=64)])
def test_the_shared_loop_refines_orders_and_never_worsens_them(solver) -> None:
    problem = Networks(Ledger(price, 400), 5, 1 << 40)
    effort = Effort(evaluations=10, rounds=12, window=5, patience=12, tries=4)
    refined = refine(problem, solver, np.random.default_rng(2), effort=effort)
    assert list(refined.costs) == sorted(refined.costs, reverse=True)
    assert refined.costs[0] == price((0, 1, 2, 3, 4))
    assert refined.costs[-1] == problem.cost(refined.decision) < refined.costs[0]


def test_a_window_prices_single_moves_and_pairs_exactly() -> None:
    problem = Networks(Ledger(price, 1000), 5, 1 << 40)
    window = problem.window((0, 1, 2, 3, 4), 6, np.random.default_rng(0))
    for moves in range(3):
        for made_ones in itertools.combinations(range(window.ising.spins), moves):
            string = np.ones(window.ising.spins, dtype=np.int8)
            string[list(made_ones)] = -1
            assert energies(window.ising, string)[0] == pytest.approx(problem.cost(window.sew(string)))


def test_a_tensor_that_no_network_shortens_costs_itself() -> None:
    problem = Networks(Ledger(lambda _: math.inf, 3), 5, 1000)
    assert problem.cost((0, 1, 2, 3, 4)) == 32_000.0
    assert problem.figures((0, 1, 2, 3, 4))[1].value == 1.0
    assert problem.actions((0, 1, 2, 3, 4)) == ()


@pytest.mark.slow
def test_a_noisy_machine_answers_and_its_readings_are_corrected() -> None:
    problem = Networks(Ledger(price, 1000), 5, 1 << 40)
    window = problem.window((0, 1, 2, 3, 4), 3, np.random.default_rng(0))
    for mitigate in (False, True):
        machine = NoisyQaoa(layers=1, shots=64, mitigate=mitigate)
        weights = machine.weights(window.ising, np.random.default_rng(5))
        assert sum(weights.values()) == pytest.approx(1.0)
        assert min(weights.values()) > 0.0
        strings = machine(window.ising, np.random.default_rng(5))
        assert list(energies(window.ising, strings)) == sorted(energies(window.ising, strings))
