"""One layer in closed form is one layer of the state."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from qiskit_solvers import Ising
from qiskit_solvers.angles.closed_form import Angles, ClosedForm, angles_near, best_angles, lowest_turns
from qiskit_solvers.simulation.full import FullSpace


def model(spins: int, density: float, seed: int) -> Ising:
    rng = np.random.default_rng(seed)
    kept = rng.random((spins, spins)) < density
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)) * kept, 1), 0.7)


def with_kernel(ising: Ising, *, dense: bool) -> ClosedForm:
    """Return the closed form by the kernel of our choice, whatever the size would ask for."""
    closed = ClosedForm(ising)
    object.__setattr__(closed, "_dense", dense)
    return closed


def three_regular(spins: int, seed: int = 1) -> Ising:
    graph = nx.random_regular_graph(3, spins, seed=seed)
    return Ising(np.zeros(spins), sparse.csr_array(np.triu(nx.to_numpy_array(graph, nodelist=range(spins)), 1)))


@pytest.mark.parametrize("dense", [True, False])
@settings(max_examples=40, deadline=None)
@given(
    spins=st.integers(1, 8),
    density=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 2**31),
    gamma=st.floats(-3.0, 3.0),
    beta=st.floats(-3.0, 3.0),
)
def test_expectations_are_those_of_the_state(
    dense: bool, spins: int, density: float, seed: int, gamma: float, beta: float
):
    ising = model(spins, density, seed)
    closed = with_kernel(ising, dense=dense)
    space = FullSpace(ising)
    angles = np.array([gamma]), np.array([beta])
    probabilities = space.probabilities(*angles)
    strings = space.strings(np.arange(space.size)).astype(float)
    seen = closed.correlations(gamma, beta)
    pairs = ising.pairs
    assert seen.spins == pytest.approx(probabilities @ strings, abs=1e-10)
    products = strings[:, pairs.rows] * strings[:, pairs.columns]
    assert seen.pairs == pytest.approx(probabilities @ products, abs=1e-10)
    assert closed.energy(gamma, beta) == pytest.approx(space.energy(*angles), abs=1e-10)


@settings(max_examples=30, deadline=None)
@given(spins=st.integers(1, 9), seed=st.integers(0, 2**31), gamma=st.floats(-2.0, 2.0), beta=st.floats(-2.0, 2.0))
def test_the_slope_is_that_of_the_energy(spins: int, seed: int, gamma: float, beta: float):
    closed = with_kernel(model(spins, 0.6, seed), dense=True)
    slope, step = closed.slope(gamma, beta), 1e-5
    assert slope.value == pytest.approx(closed.energy(gamma, beta), abs=1e-10)
    by_gamma = (closed.energy(gamma + step, beta) - closed.energy(gamma - step, beta)) / (2 * step)
    by_beta = (closed.energy(gamma, beta + step) - closed.energy(gamma, beta - step)) / (2 * step)
    assert slope.gammas[0] == pytest.approx(by_gamma, abs=1e-5)
    assert slope.betas[0] == pytest.approx(by_beta, abs=1e-5)


def test_a_cosine_that_vanishes_leaves_the_others_right():
    """At gamma = pi / 4 every unit coupling has cosine 0: nothing may be had by division."""
    ising = Ising(np.array([0.3, 0.0, 1.0, 0.0]), np.triu(np.ones((4, 4)), 1))
    expected = FullSpace(ising).energy(np.array([np.pi / 4]), np.array([0.3]))
    for dense in (True, False):
        closed = with_kernel(ising, dense=dense)
        assert closed.energy(np.pi / 4, 0.3) == pytest.approx(expected, abs=1e-10)
        assert np.isfinite(closed.slope(np.pi / 4, 0.3).gammas).all()


def test_sparse_and_dense_couplings_give_the_same():
    ising = three_regular(12)
    thick = Ising(ising.h, ising.couplings)
    assert ClosedForm(ising).energy(0.4, 0.3) == pytest.approx(ClosedForm(thick).energy(0.4, 0.3), abs=1e-12)


def test_the_known_optimum_of_a_ring_is_found():
    """A ring of even length: one layer cuts 3/4 of the edges (Farhi et al. 2014, arXiv:1411.4028)."""
    spins = 10
    J = np.zeros((spins, spins))
    for i in range(spins):
        J[min(i, (i + 1) % spins), max(i, (i + 1) % spins)] = 1.0
    assert best_angles(Ising(np.zeros(spins), J)).energy == pytest.approx(-spins / 2, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_no_angles_of_a_fine_grid_are_better(seed: int):
    ising = model(7, 0.7, seed)
    best, closed = best_angles(ising), ClosedForm(ising)
    assert best.energy == pytest.approx(closed.energy(best.gamma, best.beta), abs=1e-9)
    strongest = np.sqrt((ising.h**2 + (ising.J**2).sum(axis=0) + (ising.J**2).sum(axis=1)).max())
    curves = np.array([closed.curve(gamma) for gamma in np.linspace(-1.6, 1.6, 1001) / strongest])
    assert best.energy <= ising.offset + lowest_turns(curves)[1].min() + 1e-9
    slope = closed.slope(best.gamma, best.beta)
    assert abs(slope.betas[0]) < 1e-6
    assert abs(slope.gammas[0]) < 1e-3 * strongest * np.abs(best.energy)


@pytest.mark.parametrize("away", [0.01, 0.8, 1.2])
def test_the_best_angles_are_found_again_from_nearby(away: float):
    for ising in (model(8, 1.0, 5), three_regular(20)):
        best = best_angles(ising)
        again = angles_near(ising, best.gamma * away)
        assert again.energy == pytest.approx(best.energy, rel=1e-5)
        assert again.energy == pytest.approx(ClosedForm(ising).energy(again.gamma, again.beta), rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(curve=st.tuples(*[st.floats(-5.0, 5.0)] * 3))
def test_the_best_turn_of_a_curve_is_closed(curve: tuple[float, float, float]):
    a, b, d = curve
    x = np.linspace(-np.pi, np.pi, 20_001)
    lowest = (a * np.sin(x) + b * np.sin(x) * np.cos(x) + d * np.sin(x) ** 2).min()
    turns, values = lowest_turns(np.array([curve]))
    assert values[0] <= lowest + 1e-12
    assert -np.pi < turns[0] <= np.pi
    assert values[0] == pytest.approx(np.sin(turns[0]) * (a + b * np.cos(turns[0]) + d * np.sin(turns[0])), abs=1e-9)


@pytest.mark.parametrize("unit", [1e-200, 2.0**40, 1e150])
def test_the_angles_follow_the_unit_of_energy(unit: float):
    ising = model(6, 0.8, 3)
    plain = best_angles(Ising(ising.h, ising.J))
    scaled = best_angles(Ising(ising.h * unit, ising.J * unit))
    assert scaled.gamma * unit == pytest.approx(plain.gamma, rel=1e-6)
    assert scaled.beta == pytest.approx(plain.beta, abs=1e-5)
    assert scaled.energy / unit == pytest.approx(plain.energy)


@pytest.mark.parametrize("spins", [0, 1, 4])
def test_a_model_without_terms_needs_no_angles(spins: int):
    ising = Ising(np.zeros(spins), np.zeros((spins, spins)), 2.5)
    assert best_angles(ising) == Angles(0.0, 0.0, 2.5)
    assert ClosedForm(ising).energy(0.3, 0.2) == 2.5


def test_a_field_alone_is_followed_to_the_end():
    best = best_angles(Ising(np.array([-2.0]), np.zeros((1, 1)), 1.0))
    assert best.energy == pytest.approx(-1.0)


def test_a_grid_needs_three_points():
    with pytest.raises(ValueError, match="at least 3 points, got 2"):
        best_angles(model(3, 1.0, 0), points=2)
