"""Every solver keeps the one contract."""

import numpy as np
import pytest
from scipy import sparse

import qiskit_solvers
from qiskit_solvers import (
    Anneal,
    Boltzmann,
    Exact,
    GoemansWilliamson,
    Ising,
    PathIntegral,
    Qaoa,
    QaoaOn,
    QuantumAnneal,
    Rqaoa,
    Solver,
    TooLarge,
    WarmStart,
    energies,
)
from qiskit_solvers.backends.aer import Aer

SOLVERS = {
    "exact": Exact(),
    "anneal": Anneal(),
    "path-integral": PathIntegral(),
    "goemans-williamson": GoemansWilliamson(),
    "qaoa on aer": Qaoa(),
    "qaoa on the simulator": Qaoa(on="simulator"),
    "qaoa on a ring": QaoaOn(Aer(), Qaoa(layers=5), mixer="ring"),
    "warm start": WarmStart(start="descent"),
    "rqaoa": Rqaoa(),
    "quantum anneal": QuantumAnneal(),
    "boltzmann": Boltzmann(),
}
SPINS = [0, 1, 2, 5, 9, 13]


def model(spins: int, seed: int = 7) -> Ising:
    rng = np.random.default_rng(seed)
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)), 1), 1.5)


def grouped_model(seed: int = 7) -> Ising:
    """Groups of 3, 1 and 2, and one free spin between them."""
    ising = model(7, seed)
    return Ising(ising.h, ising.J, ising.offset, ((4, 0, 2), (6,), (1, 5)))


@pytest.fixture(params=SOLVERS)
def solver(request: pytest.FixtureRequest) -> Solver:
    return SOLVERS[request.param]


@pytest.mark.parametrize("spins", SPINS)
def test_strings_are_distinct_rows_of_plus_and_minus_one(solver: Solver, spins: int):
    strings = solver(model(spins), np.random.default_rng(1))
    assert strings.dtype == np.int8
    assert strings.shape[0] >= 1
    assert strings.shape[1] == spins
    assert set(np.unique(strings)) <= {-1, 1}
    assert len({row.tobytes() for row in strings}) == len(strings)


@pytest.mark.parametrize("spins", SPINS)
def test_the_lowest_energy_comes_first(solver: Solver, spins: int):
    ising = model(spins)
    energy = energies(ising, solver(ising, np.random.default_rng(1)))
    assert list(energy) == sorted(energy)


@pytest.mark.parametrize("spins", SPINS)
def test_the_optimum_of_a_small_model_is_found(solver: Solver, spins: int):
    ising = model(spins)
    lowest = qiskit_solvers.diagonal(ising).min()
    assert energies(ising, solver(ising, np.random.default_rng(1)))[0] == pytest.approx(lowest)


def test_every_string_keeps_the_groups(solver: Solver):
    ising = grouped_model()
    strings = solver(ising, np.random.default_rng(1))
    for group in ising.groups:
        assert np.all((strings[:, list(group)] == -1).sum(axis=1) == 1)
    lowest = energies(ising, Exact()(ising, np.random.default_rng(1)))[0]
    assert energies(ising, strings)[0] == pytest.approx(lowest)


def test_names_do_not_change_the_answer(solver: Solver):
    ising = model(6)
    named = Ising(ising.h, ising.J, ising.offset, names=("f", "e", 3, ("d", 1), "b", "a"))
    first, second = (solver(one, np.random.default_rng(3)) for one in (ising, named))
    assert first.tobytes() == second.tobytes()


def test_sparse_couplings_do_not_change_the_answer(solver: Solver):
    ising = model(6)
    thin = Ising(ising.h, sparse.csr_array(ising.J), ising.offset)
    first, second = (solver(one, np.random.default_rng(3)) for one in (ising, thin))
    assert first.tobytes() == second.tobytes()


def test_the_same_seed_gives_the_same_strings(solver: Solver):
    ising = model(11)
    first, second = (solver(ising, np.random.default_rng(3)) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_the_generator_advances(solver: Solver):
    """Exact needs no chance; the others must not repeat themselves over the windows of one loop."""
    ising = Ising(np.zeros(12), np.zeros((12, 12)))
    rng = np.random.default_rng(3)
    repeated = np.array_equal(solver(ising, rng), solver(ising, rng))
    assert repeated == (solver.kind == "exact")


def test_the_model_is_left_as_it_was(solver: Solver):
    ising = model(6)
    h, J = ising.h.copy(), ising.J.copy()
    solver(ising, np.random.default_rng(0))
    assert np.array_equal(ising.h, h)
    assert np.array_equal(ising.J, J)


@pytest.mark.parametrize(
    "ising",
    [
        pytest.param(Ising(np.zeros(3), np.zeros((3, 3))), id="all zero"),
        pytest.param(Ising(np.array([1.0, -2.0, 0.0]), np.zeros((3, 3))), id="no couplings"),
        pytest.param(Ising(np.zeros(3), np.triu(np.ones((3, 3)), 1)), id="no fields"),
        pytest.param(Ising(np.array([0.0, 1e-200]), np.zeros((2, 2))), id="tiny"),
        pytest.param(Ising(np.array([1e150, 3e149]), np.array([[0, 2e150], [0, 0]])), id="huge"),
    ],
)
def test_unusual_models_have_an_optimum_too(solver: Solver, ising: Ising):
    strings = solver(ising, np.random.default_rng(5))
    assert energies(ising, strings)[0] == pytest.approx(qiskit_solvers.diagonal(ising).min())


@pytest.mark.parametrize(
    "solver",
    [Exact(max_spins=5), Qaoa(max_spins=5), Rqaoa(max_spins=5), GoemansWilliamson(max_spins=5)],
    ids=lambda solver: solver.kind,
)
def test_a_model_above_the_limit_is_refused_with_both_numbers(solver: Solver):
    with pytest.raises(TooLarge, match="at most 5 spins, got 6"):
        solver(model(6), np.random.default_rng(0))


@pytest.mark.parametrize("options", [{"strings": 0}, {"strings": 3}])
def test_no_more_strings_than_asked_for(options: dict[str, int]):
    for kind in (Exact, Anneal, Boltzmann, GoemansWilliamson, PathIntegral, Qaoa, QuantumAnneal, Rqaoa):
        if options["strings"] == 0:
            with pytest.raises(ValueError, match="at least 1"):
                kind(**options)
        else:
            assert len(kind(**options)(model(8), np.random.default_rng(0))) <= 3
