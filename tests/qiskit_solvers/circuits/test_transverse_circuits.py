"""Transverse, multi-angle and Trotter circuits hold the state that their exponentials make."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.linalg import expm

from qiskit_solvers.circuits.cost import cost_terms
from qiskit_solvers.circuits.multi_angle import multi_angle_ansatz, multi_angle_circuit, term_count
from qiskit_solvers.circuits.transverse import transverse_ansatz, transverse_circuit
from qiskit_solvers.circuits.trotter import trotter_angles, trotter_circuit
from qiskit_solvers.ising import Ising

MODELS = settings(max_examples=25, deadline=None)
model_sizes = given(
    spins=st.integers(1, 6),
    layers=st.integers(0, 3),
    density=st.sampled_from([0.0, 0.4, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)


def transverse_state(dense, ising: Ising, gammas: np.ndarray, betas: np.ndarray) -> np.ndarray:
    cost, driver = dense.cost(ising), dense.driver(ising.spins, range(ising.spins))
    exponents = [m for g, b in zip(gammas, betas, strict=True) for m in (-1j * g * cost, 1j * b * driver)]
    return dense.evolve(np.full(2**ising.spins, 2 ** (-ising.spins / 2), dtype=complex), *exponents)


@MODELS
@model_sizes
def test_the_transverse_circuit_is_its_exponentials(dense, check, draw, spins, layers, density, seed):
    rng = np.random.default_rng(seed)
    ising = draw.model(spins, rng, density=density)
    angles = draw.angles(layers, rng)
    expected = transverse_state(dense, ising, *angles)
    check.same(check.qiskit(transverse_circuit(ising, *angles)), expected)
    check.same(check.qiskit(transverse_ansatz(ising, layers).bind(*angles)), expected)


def test_aer_runs_the_transverse_circuit_as_it_is(dense, check, draw):
    rng = np.random.default_rng(1)
    ising, angles = draw.model(7, rng), draw.angles(3, rng)
    check.same(check.aer(transverse_circuit(ising, *angles)), transverse_state(dense, ising, *angles))


def test_a_sparse_model_makes_the_dense_models_circuit(draw):
    rng = np.random.default_rng(2)
    ising, angles = draw.model(9, rng, density=0.3), draw.angles(2, rng)
    thin = Ising(ising.h, sparse.csr_array(ising.J), ising.offset)
    assert transverse_circuit(thin, *angles) == transverse_circuit(ising, *angles)


def test_terms_that_are_zero_get_no_gate():
    ising = Ising(np.array([0.0, 1.0, 0.0]), np.array([[0, 0, 2.0], [0, 0, 0], [0, 0, 0]]))
    counts = transverse_circuit(ising, np.ones(2), np.ones(2)).count_ops()
    assert dict(counts) == {"h": 3, "rz": 2, "rzz": 2, "rx": 6}


def test_a_layer_has_one_rzz_per_coupling(draw):
    figures = transverse_ansatz(draw.model(8, np.random.default_rng(3)), 4).footprint
    assert (figures.qubits, figures.two_qubit_gates, figures.wider_gates) == (8, 4 * 28, 0)
    assert figures.gates == 8 + 4 * (28 + 8 + 8)


@pytest.mark.parametrize("spins", [1, 2, 3, 4, 6, 7, 11])
def test_every_term_stands_once_and_neighbours_share_six_qubits(draw, spins):
    ising = draw.model(spins, np.random.default_rng(spins))
    terms = cost_terms(ising)
    assert sorted(term.number for term in terms) == list(range(term_count(ising)))
    for term in terms:
        expected = ising.h[term.first] if term.first == term.second else ising.J[term.first, term.second]
        assert term.coefficient == expected
    passes, held = 1, set()
    for term in terms:
        wider = held | {term.first // 3, term.second // 3}
        if len(wider) > 2:
            passes, wider = passes + 1, {term.first // 3, term.second // 3}
        held = wider
    blocks = -(-spins // 3)
    assert passes == max(1, blocks * (blocks - 1) // 2)


@MODELS
@model_sizes
def test_the_multi_angle_circuit_is_its_exponentials(dense, check, draw, spins, layers, density, seed):
    rng = np.random.default_rng(seed)
    ising = draw.model(spins, rng, density=density)
    gammas = rng.uniform(-1.5, 1.5, size=(layers, term_count(ising)))
    betas = rng.uniform(-1.5, 1.5, size=(layers, spins))
    exponents = []
    for first, second in zip(gammas, betas, strict=True):
        exponents.append(-1j * sum((g * dense.term(ising, k) for k, g in enumerate(first)), np.zeros((2**spins,) * 2)))
        exponents.append(1j * sum(b * dense.driver(spins, [i]) for i, b in enumerate(second)))
    expected = dense.evolve(np.full(2**spins, 2 ** (-spins / 2), dtype=complex), *exponents)
    check.same(check.qiskit(multi_angle_circuit(ising, gammas, betas)), expected)
    check.same(check.qiskit(multi_angle_ansatz(ising, layers).bind(gammas.ravel(), betas.ravel())), expected)


def test_aer_runs_the_multi_angle_circuit_and_equal_angles_make_it_the_transverse_one(check, draw):
    rng = np.random.default_rng(5)
    ising, (gammas, betas) = draw.model(6, rng, density=0.6), draw.angles(2, rng)
    spread = np.repeat(gammas[:, None], term_count(ising), axis=1), np.repeat(betas[:, None], 6, axis=1)
    assert multi_angle_circuit(ising, *spread) == transverse_circuit(ising, gammas, betas)
    check.same(check.aer(multi_angle_circuit(ising, *spread)), check.aer(transverse_circuit(ising, gammas, betas)))


def annealed(dense, ising: Ising, a: np.ndarray, b: np.ndarray, step: float) -> np.ndarray:
    cost, driver = dense.cost(ising), dense.driver(ising.spins, range(ising.spins))
    state = np.full(2**ising.spins, 2 ** (-ising.spins / 2), dtype=complex)
    for mixing, weight in zip(a, b, strict=True):
        state = expm(-1j * step * (weight * cost - mixing * driver)) @ state
    return state


@pytest.mark.parametrize("order", [1, 2])
def test_halving_the_step_cuts_the_trotter_error_by_the_order(dense, check, draw, order):
    """The same schedule, every step cut into pieces: the split circuit nears the exact evolution."""
    ising = draw.model(4, np.random.default_rng(6))
    a, b, step = np.array([0.9, 0.6, 0.2]), np.array([0.1, 0.5, 0.8]), 0.4
    exact, errors = annealed(dense, ising, a, b, step), []
    for pieces in (4, 8, 16):
        split = (np.repeat(a, pieces), np.repeat(b, pieces), step / pieces)
        state = check.qiskit(trotter_circuit(ising, *split, order=order))
        errors.append(np.sqrt(1 - abs(np.vdot(exact, state)) ** 2))
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    np.testing.assert_allclose(ratios, 2**order, rtol=0.15)


@settings(max_examples=20, deadline=None)
@given(spins=st.integers(1, 5), steps=st.integers(0, 3), order=st.sampled_from([1, 2]), seed=st.integers(0, 2**32 - 1))
def test_the_trotter_circuit_is_its_exponentials(dense, check, draw, spins, steps, order, seed):
    rng = np.random.default_rng(seed)
    ising = draw.model(spins, rng)
    a, b, dt = rng.uniform(size=steps), rng.uniform(size=steps), rng.uniform(0.1, 0.5, size=steps)
    cost, driver = dense.cost(ising), dense.driver(spins, range(spins))
    exponents = []
    for mixing, weight, step in zip(a, b, dt, strict=True):
        if order == 1:
            exponents += [-1j * step * weight * cost, 1j * step * mixing * driver]
        else:
            half = 0.5j * step * mixing * driver
            exponents += [half, -1j * step * weight * cost, half]
    expected = dense.evolve(np.full(2**spins, 2 ** (-spins / 2), dtype=complex), *exponents)
    check.same(check.qiskit(trotter_circuit(ising, a, b, dt, order=order)), expected)
    check.same(check.aer(trotter_circuit(ising, a, b, dt, order=order)), expected)


def test_arguments_that_make_no_circuit_are_refused(draw):
    ising = draw.model(3, np.random.default_rng(7))
    for angles in ((np.ones(2), np.ones(3)), (np.ones((1, 2)), np.ones((1, 2))), (np.array([np.nan]), np.ones(1))):
        with pytest.raises(ValueError, match="expected"):
            transverse_circuit(ising, *angles)
    with pytest.raises(ValueError, match="layers"):
        transverse_ansatz(ising, -1)
    with pytest.raises(ValueError, match="expected"):
        multi_angle_circuit(ising, np.ones((2, 4)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="finite"):
        multi_angle_circuit(ising, np.full((1, 6), np.inf), np.ones((1, 3)))
    with pytest.raises(ValueError, match="expected"):
        trotter_angles(np.ones(2), np.ones(3), 0.1)
    with pytest.raises(ValueError, match="finite"):
        trotter_angles(np.ones(2), np.ones(2), np.nan)
