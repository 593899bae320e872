"""The relaxation bounds every string from below, and its planes keep the promise for MaxCut."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from qiskit_solvers import Ising, TooLarge, diagonal, energies, strings_of
from qiskit_solvers.goemans_williamson import GoemansWilliamson, bound, relaxed, rounded
from qiskit_solvers.one_hot import feasible


def model(spins: int, density: float = 1.0, seed: int = 7) -> Ising:
    rng = np.random.default_rng(seed)
    kept = rng.random((spins, spins)) < density
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)) * kept, 1), 1.5)


def max_cut(spins: int, seed: int) -> Ising:
    """Return couplings of half the weights, so that minus the energy is the cut: offset included."""
    rng = np.random.default_rng(seed)
    weights = np.triu(rng.random((spins, spins)) * (rng.random((spins, spins)) < 0.5), 1)
    return Ising(np.zeros(spins), weights / 2, -float(weights.sum()) / 2)


@settings(max_examples=60, deadline=None)
@given(spins=st.integers(0, 9), density=st.sampled_from([0.0, 0.3, 1.0]), seed=st.integers(0, 2**31))
def test_no_string_is_below_the_bound_and_the_vectors_are_above_it(spins: int, density: float, seed: int):
    ising = model(spins, density, seed)
    found = relaxed(ising, np.random.default_rng(0))
    assert found.bound <= diagonal(ising).min()
    assert found.bound <= found.energy + 1e-12 * abs(found.energy)
    assert np.linalg.norm(found.vectors, axis=1) == pytest.approx(np.ones(spins + 1))


@settings(max_examples=30, deadline=None)
@given(sweeps=st.integers(1, 3), seed=st.integers(0, 2**31))
def test_vectors_that_have_not_settled_give_a_bound_too(sweeps: int, seed: int):
    ising = model(8, 1.0, seed)
    assert relaxed(ising, np.random.default_rng(seed), sweeps=sweeps).bound <= diagonal(ising).min()


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_meets_the_vectors(seed: int):
    """Strong duality: what is left between them is what the sweeps have not settled."""
    ising = model(12, 1.0, seed)
    found = relaxed(ising, np.random.default_rng(0))
    assert found.bound == pytest.approx(found.energy, rel=1e-3)


def test_the_bound_of_a_frustrated_ring_is_the_known_one():
    """Vectors on a ring of five turn by 4 pi / 5 each: the energy is 5 cos(4 pi / 5), the optimum only -3."""
    J = np.zeros((5, 5))
    for i in range(5):
        J[min(i, (i + 1) % 5), max(i, (i + 1) % 5)] = 1.0
    found = relaxed(Ising(np.zeros(5), J), np.random.default_rng(0))
    assert found.energy == pytest.approx(5 * np.cos(4 * np.pi / 5), abs=1e-6)
    assert found.bound == pytest.approx(5 * np.cos(4 * np.pi / 5), abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_planes_cut_at_least_0878_of_the_relaxation_on_average(seed: int):
    """The theorem, in expectation: the mean of 20,000 planes, less five standard errors of doubt."""
    ising = max_cut(13, seed)
    found = relaxed(ising, np.random.default_rng(0))
    cuts = -energies(ising, rounded(found.vectors, 20_000, np.random.default_rng(1)))
    assert cuts.mean() + 5 * cuts.std() / np.sqrt(cuts.size) >= 0.87856 * -found.energy
    best = -energies(ising, GoemansWilliamson()(ising, np.random.default_rng(2)))[0]
    assert best >= 0.87856 * -diagonal(ising).min()


@pytest.mark.parametrize("spins", [0, 1, 2, 5, 9, 13])
def test_small_models_end_at_the_optimum(spins: int):
    ising = model(spins)
    strings = GoemansWilliamson()(ising, np.random.default_rng(1))
    assert energies(ising, strings)[0] == pytest.approx(diagonal(ising).min())


def test_a_graph_with_two_sides_is_cut_at_every_edge():
    graph = nx.complete_bipartite_graph(20, 30)
    J = sparse.csr_array(np.triu(nx.to_numpy_array(graph), 1))
    strings = GoemansWilliamson()(Ising(np.zeros(50), J), np.random.default_rng(0))
    assert energies(Ising(np.zeros(50), J), strings)[0] == -600


def test_the_bound_with_groups_is_below_what_obeys_them():
    rng = np.random.default_rng(3)
    groups = ((0, 1, 2), (3, 4, 5), (7, 8))
    ising = Ising(rng.normal(size=9), np.triu(rng.normal(size=(9, 9)), 1), groups=groups)
    every = strings_of(np.arange(2**9), 9)
    below = bound(ising, np.random.default_rng(0))
    assert below <= energies(ising, every[feasible(ising, every)]).min()
    free = Ising(ising.h, ising.J)
    assert below >= bound(free, np.random.default_rng(0))
    assert feasible(ising, GoemansWilliamson()(ising, np.random.default_rng(0))).all()


@pytest.mark.parametrize("unit", [1e-200, 1e150])
def test_the_bound_follows_the_unit_of_energy(unit: float):
    ising = model(7)
    scaled = Ising(ising.h * unit, ising.J * unit)
    plain = bound(Ising(ising.h, ising.J), np.random.default_rng(0))
    assert bound(scaled, np.random.default_rng(0)) / unit == pytest.approx(plain, rel=1e-6)


def test_a_model_without_terms_is_bounded_by_its_offset():
    assert bound(Ising(np.zeros(3), np.zeros((3, 3)), 2.5), np.random.default_rng(0)) == pytest.approx(2.5)


def test_a_model_above_the_limit_is_refused_with_both_numbers():
    with pytest.raises(TooLarge, match="at most 5 spins, got 6"):
        GoemansWilliamson(max_spins=5)(model(6), np.random.default_rng(0))


@pytest.mark.parametrize("options", [{"rounds": 0}, {"sweeps": 0}, {"strings": 0}, {"tolerance": 0.0}])
def test_options_are_checked(options: dict[str, float]):
    with pytest.raises(ValueError, match="expected"):
        GoemansWilliamson(**options)
