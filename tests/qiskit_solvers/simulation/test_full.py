"""The fast simulator, against dense linear algebra and against Aer."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
from scipy import sparse
from scipy.linalg import expm

from qiskit_solvers import Ising, TooLarge, diagonal, strings_of
from qiskit_solvers.simulation import full
from qiskit_solvers.simulation.full import FullSpace

CASES = {
    "spins": st.integers(0, 9),
    "layers": st.integers(0, 4),
    "density": st.sampled_from([0.0, 0.3, 1.0]),
    "seed": st.integers(0, 2**32 - 1),
}


def model(spins: int, rng: np.random.Generator, density: float = 1.0) -> Ising:
    kept = rng.random((spins, spins)) < density
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)) * kept, 1), rng.normal())


def angles(layers: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Angles of every size: mixers beyond 45 degrees take another path than those below."""
    return rng.uniform(-2, 2, size=layers), rng.uniform(-7, 7, size=layers)


def dense_state(ising: Ising, gammas: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """Return the state by matrix exponentials of Pauli matrices, nothing shared with the simulator."""
    X, identity = np.array([[0, 1], [1, 0]]), np.eye(2)
    mixer = np.zeros((2**ising.spins, 2**ising.spins))
    for i in range(ising.spins):
        # the last factor of a Kronecker product is qubit 0
        mixer += functools.reduce(np.kron, [X if j == i else identity for j in reversed(range(ising.spins))], np.eye(1))
    cost = np.array([ising.h @ s + s @ ising.J @ s for s in strings_of(np.arange(2**ising.spins), ising.spins)])
    state = np.full(2**ising.spins, 2.0 ** (-ising.spins / 2), dtype=complex)
    for gamma, beta in zip(gammas, betas, strict=True):
        state = expm(1j * beta * mixer) @ (np.exp(-1j * gamma * cost) * state)
    return state


def aer_state(ising: Ising, gammas: np.ndarray, betas: np.ndarray) -> np.ndarray:
    circuit = QuantumCircuit(ising.spins)
    circuit.h(range(ising.spins))
    for gamma, beta in zip(gammas, betas, strict=True):
        for i in range(ising.spins):
            circuit.rz(2 * gamma * ising.h[i], i)
            for j in range(i):
                circuit.rzz(2 * gamma * ising.J[j, i], j, i)
        circuit.rx(-2 * beta, range(ising.spins))
    circuit.save_statevector()
    return np.asarray(
        AerSimulator(method="statevector", max_parallel_threads=1).run(circuit).result().get_statevector()
    )


def assert_equal_states(ours: np.ndarray, theirs: np.ndarray, within: float = 1e-10):
    phase = np.vdot(ours, theirs)
    assert abs(phase) == pytest.approx(1.0, abs=within)
    np.testing.assert_allclose(theirs, ours * phase / abs(phase), atol=within)


@settings(max_examples=60)
@given(**{**CASES, "spins": st.integers(0, 6)})
def test_the_state_is_that_of_the_matrix_exponentials(spins: int, layers: int, density: float, seed: int):
    rng = np.random.default_rng(seed)
    ising = model(spins, rng, density)
    gammas, betas = angles(layers, rng)
    assert_equal_states(FullSpace(ising).state(gammas, betas), dense_state(ising, gammas, betas))


@settings(max_examples=30)
@given(**{**CASES, "spins": st.integers(1, 9)})
def test_the_state_is_aers_up_to_global_phase(spins: int, layers: int, density: float, seed: int):
    rng = np.random.default_rng(seed)
    ising = model(spins, rng, density)
    gammas, betas = angles(layers, rng)
    assert_equal_states(FullSpace(ising).state(gammas, betas), aer_state(ising, gammas, betas))


@pytest.mark.parametrize("spins", [11, 12, 13, 14, 15, 16])
def test_every_split_into_blocks_gives_aers_state(spins: int):
    """Above 11 spins the mixer works in blocks, above 12 the phases do."""
    rng = np.random.default_rng(spins)
    ising = model(spins, rng)
    gammas, betas = angles(2, rng)
    assert_equal_states(FullSpace(ising).state(gammas, betas), aer_state(ising, gammas, betas))


@settings(max_examples=40)
@given(**CASES)
def test_energy_and_probabilities_are_those_of_the_state(spins: int, layers: int, density: float, seed: int):
    rng = np.random.default_rng(seed)
    ising = model(spins, rng, density)
    gammas, betas = angles(layers, rng)
    space = FullSpace(ising)
    chances = np.abs(space.state(gammas, betas)) ** 2
    np.testing.assert_allclose(space.probabilities(gammas, betas), chances, atol=1e-12)
    assert chances.sum() == pytest.approx(1.0, abs=1e-11)
    assert space.energy(gammas, betas) == pytest.approx(chances @ diagonal(ising), abs=1e-10)


@settings(max_examples=40)
@given(**CASES, keep=st.booleans())
def test_slopes_are_those_of_central_differences(spins: int, layers: int, density: float, seed: int, keep: bool):
    """Once with the states kept for the way back, once with each computed again."""
    rng = np.random.default_rng(seed)
    ising = model(spins, rng, density)
    gammas, betas = angles(layers, rng)
    space, observable = FullSpace(ising), rng.normal(size=2**spins)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(full, "_KEPT_BYTES", 1 << 30 if keep else 0)
        slope, seen = space.slope(gammas, betas), space.slope(gammas, betas, observable)
    assert slope.value == pytest.approx(space.energy(gammas, betas), abs=1e-10)
    assert seen.value == pytest.approx(space.probabilities(gammas, betas) @ observable, abs=1e-10)
    step = 1e-5
    for layer in range(layers):
        d = step * np.eye(layers)[layer]
        by_gamma = (space.energy(gammas + d, betas) - space.energy(gammas - d, betas)) / (2 * step)
        by_beta = (space.energy(gammas, betas + d) - space.energy(gammas, betas - d)) / (2 * step)
        seen_by_beta = (
            space.probabilities(gammas, betas + d) - space.probabilities(gammas, betas - d)
        ) @ observable / (2 * step)  # fmt: skip
        assert slope.gammas[layer] == pytest.approx(by_gamma, rel=1e-5, abs=1e-5)
        assert slope.betas[layer] == pytest.approx(by_beta, rel=1e-5, abs=1e-5)
        assert seen.betas[layer] == pytest.approx(seen_by_beta, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("spins", [3, 10, 13, 15])
def test_slopes_hold_across_blocks(spins: int):
    rng = np.random.default_rng(spins)
    space = FullSpace(model(spins, rng))
    gammas, betas = angles(2, rng)
    slope = space.slope(gammas, betas)
    d = np.array([1e-5, 0.0])
    by_beta = (space.energy(gammas, betas + d) - space.energy(gammas, betas - d)) / 2e-5
    assert slope.betas[0] == pytest.approx(by_beta, rel=1e-5, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("spins", [2, 9, 13])
def test_single_precision_is_close(spins: int):
    rng = np.random.default_rng(spins)
    ising = model(spins, rng)
    gammas, betas = angles(5, rng)
    double, single = FullSpace(ising), FullSpace(ising, precision="single")
    assert single.state(gammas, betas).dtype == np.complex64
    np.testing.assert_allclose(single.state(gammas, betas), double.state(gammas, betas), atol=1e-5)
    spread = double.costs.std()
    assert single.energy(gammas, betas) == pytest.approx(double.energy(gammas, betas), abs=1e-5 * spread)
    ours, theirs = single.slope(gammas, betas), double.slope(gammas, betas)
    np.testing.assert_allclose(ours.betas, theirs.betas, atol=1e-3 * spread)
    np.testing.assert_allclose(ours.gammas, theirs.gammas, atol=1e-3 * spread**2)


def test_one_spin_in_a_field_follows_the_closed_form():
    """One layer on E = s: P(-1) = (1 + sin 2 gamma sin 2 beta) / 2, by multiplying out two 2 x 2 matrices."""
    space = FullSpace(Ising(np.ones(1), np.zeros((1, 1))))
    gamma, beta = 0.7, 0.3
    expected = (1 + np.sin(2 * gamma) * np.sin(2 * beta)) / 2
    assert space.probabilities(np.array([gamma]), np.array([beta]))[1] == pytest.approx(expected)


def test_no_layers_leave_the_uniform_state():
    space = FullSpace(model(5, np.random.default_rng(0)))
    none = np.zeros(0)
    np.testing.assert_allclose(space.state(none, none), 2.0**-2.5)
    assert space.slope(none, none).gammas.shape == (0,)


def test_sparse_couplings_give_the_same_state():
    rng = np.random.default_rng(4)
    ising = model(6, rng, density=0.3)
    thin = Ising(ising.h, sparse.csr_array(ising.J), ising.offset)
    gammas, betas = angles(2, rng)
    np.testing.assert_allclose(FullSpace(thin).state(gammas, betas), FullSpace(ising).state(gammas, betas), atol=1e-14)


def test_a_space_answers_alike_again_and_again():
    """Its memory is used again; nothing of an earlier call may show."""
    rng = np.random.default_rng(9)
    space = FullSpace(model(8, rng))
    gammas, betas = angles(3, rng)
    first = space.state(gammas, betas)
    space.slope(*angles(5, rng))
    space.energy(*angles(1, rng))
    assert first.tobytes() == space.state(gammas, betas).tobytes()


def test_schedules_that_do_not_fit_are_refused():
    space = FullSpace(Ising(np.ones(1), np.zeros((1, 1))))
    with pytest.raises(ValueError, match="two equal shapes"):
        space.state(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="finite angles"):
        space.energy(np.array([np.nan]), np.ones(1))


def test_what_is_not_there_is_refused():
    space = FullSpace(model(3, np.random.default_rng(0)))
    with pytest.raises(ValueError, match=r"observable: expected shape \(8,\), got \(3,\)"):
        space.slope(np.ones(1), np.ones(1), np.ones(3))
    with pytest.raises(ValueError, match="indices: expected 0 to 7, got 100"):
        space.strings(np.array([100]))
    with pytest.raises(ValueError, match="precision: expected double or single"):
        FullSpace(space.ising, precision="half")


def test_the_way_back_keeps_states_within_the_limit_only():
    tight = FullSpace(model(12, np.random.default_rng(0)), max_bytes=full.needed_bytes(12, "double"))
    roomy = FullSpace(tight.ising)
    gammas, betas = angles(20, np.random.default_rng(1))
    np.testing.assert_allclose(tight.slope(gammas, betas).betas, roomy.slope(gammas, betas).betas, atol=1e-9)
    assert len(tight._spare) == 2
    assert len(roomy._spare) > 20


def test_memory_is_refused_before_it_is_taken():
    with pytest.raises(TooLarge, match="state of 25 spins: expected at most 64 MB and 26 spins, needs 768 MB"):
        FullSpace(Ising(np.zeros(25), np.zeros((25, 25))), max_bytes=1 << 26)
    with pytest.raises(TooLarge, match="26 spins"):
        FullSpace(Ising(np.zeros(40), np.zeros((40, 40))), max_bytes=1 << 60)
