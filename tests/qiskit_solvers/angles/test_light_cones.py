"""The energy from light cones is the energy of the whole state."""

import networkx as nx
import numpy as np
import pytest
from scipy import sparse

from qiskit_solvers import Ising, TooLarge
from qiskit_solvers.angles.closed_form import ClosedForm
from qiskit_solvers.angles.light_cones import LightCones
from qiskit_solvers.simulation.full import FullSpace


def graph_model(graph: nx.Graph, fields: np.ndarray | None = None, weights: tuple[float, ...] = (1.0,)) -> Ising:
    spins = len(graph)
    J = np.zeros((spins, spins))
    for number, (i, j) in enumerate(graph.edges):
        J[min(i, j), max(i, j)] = weights[number % len(weights)]
    return Ising(np.zeros(spins) if fields is None else fields, sparse.csr_array(J), 0.7)


def three_regular(spins: int) -> Ising:
    return graph_model(nx.random_regular_graph(3, spins, seed=1))


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "ising",
    [
        pytest.param(three_regular(12), id="3-regular"),
        pytest.param(graph_model(nx.cycle_graph(11)), id="ring"),
        pytest.param(graph_model(nx.path_graph(9), np.linspace(-1, 1, 9)), id="path with fields"),
        pytest.param(graph_model(nx.empty_graph(0), None), id="no spins"),
        pytest.param(graph_model(nx.star_graph(6), np.ones(7), (1.0, -2.0)), id="star of two weights"),
        pytest.param(graph_model(nx.random_regular_graph(3, 10, seed=4), None, (1.0, 2.0)), id="two weights"),
        pytest.param(graph_model(nx.empty_graph(3), np.array([1.0, 0.0, -2.0])), id="fields alone"),
    ],
)
def test_the_energy_is_that_of_the_state(ising: Ising, layers: int):
    rng = np.random.default_rng(layers)
    gammas, betas = rng.normal(size=(2, layers))
    assert LightCones(ising, layers).energy(gammas, betas) == pytest.approx(
        FullSpace(ising).energy(gammas, betas), abs=1e-10
    )


@pytest.mark.slow
def test_sixty_spins_agree_with_the_closed_form_of_one_layer():
    for ising in (three_regular(60), graph_model(nx.cycle_graph(60), np.random.default_rng(2).normal(size=60))):
        expected = ClosedForm(ising).energy(0.3, 0.4)
        assert LightCones(ising, 1).energy(np.array([0.3]), np.array([0.4])) == pytest.approx(expected, abs=1e-10)


@pytest.mark.slow
def test_the_slope_is_that_of_the_state():
    ising = graph_model(nx.cycle_graph(9), np.linspace(-1, 1, 9))
    gammas, betas = np.array([0.3, 0.5]), np.array([0.4, 0.2])
    slope, expected = LightCones(ising, 2).slope(gammas, betas), FullSpace(ising).slope(gammas, betas)
    assert slope.value == pytest.approx(expected.value, abs=1e-9)
    assert slope.gammas == pytest.approx(expected.gammas, abs=1e-6)
    assert slope.betas == pytest.approx(expected.betas, abs=1e-6)


def test_terms_that_look_alike_are_simulated_once():
    assert len(LightCones(graph_model(nx.cycle_graph(60)), 2).cones) == 1
    # the two ends, the pairs one and two from an end, and all others
    assert len(LightCones(graph_model(nx.path_graph(60)), 2).cones) == 3
    assert len(LightCones(three_regular(60), 2).cones) < 30


def test_equal_colours_are_not_taken_for_isomorphism():
    """Two triangles and a hexagon refine alike around a centre that is coupled to all six."""
    wheels = nx.Graph([(0, rim) for rim in range(1, 7)])
    wheels.add_edges_from([(1, 2), (2, 3), (1, 3), (4, 5), (5, 6), (4, 6)])
    second = nx.Graph([(7, rim) for rim in range(8, 14)])
    second.add_edges_from([(8 + k, 8 + (k + 1) % 6) for k in range(6)])
    fields = np.zeros(14)
    fields[[0, 7]] = 1.0
    ising = graph_model(nx.compose(wheels, second), fields)
    cones = LightCones(ising, 2)
    assert sum(cone.ends == 1 for cone in cones.cones) == 2
    gammas, betas = np.array([0.3, 0.5]), np.array([0.4, 0.2])
    assert cones.energy(gammas, betas) == pytest.approx(FullSpace(ising).energy(gammas, betas), abs=1e-10)


def test_a_neighbourhood_above_the_limit_is_refused_with_its_size():
    with pytest.raises(TooLarge, match="at most 13 spins, got 14 within 2"):
        LightCones(three_regular(60), 2, max_spins=13)


def test_wrong_numbers_of_layers_are_refused():
    with pytest.raises(ValueError, match="at least 0, got -1"):
        LightCones(three_regular(10), -1)
    with pytest.raises(ValueError, match=r"expected two shapes \(2,\), got \(1,\)"):
        LightCones(three_regular(10), 2).energy(np.zeros(1), np.zeros(2))
