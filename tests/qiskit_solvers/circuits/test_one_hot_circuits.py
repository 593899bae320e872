"""Circuits over one-hot groups hold the state that their exponentials make, and never leave the groups."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, transpile

from qiskit_solvers.circuits.ansatz import footprint
from qiskit_solvers.circuits.choices import choose, hop, mix, rotate
from qiskit_solvers.circuits.grover import grover_ansatz, grover_circuit
from qiskit_solvers.circuits.one_hot import complete_ansatz, complete_circuit, ring_ansatz, ring_circuit
from qiskit_solvers.circuits.transverse import transverse_circuit
from qiskit_solvers.circuits.warm_start import start_probabilities, warm_start_ansatz, warm_start_circuit
from qiskit_solvers.ising import Ising

LAYOUTS = [  # spins, groups: with free spins, out of order, of one
    (3, ((0, 1, 2),)),
    (4, ((0, 1), (2, 3))),
    (5, ((4, 1, 2),)),
    (6, ((5, 0, 3), (2, 1, 4))),
    (6, ((0, 2, 3, 5),)),
    (6, ((3, 2, 1, 0, 4),)),
    (4, ((2,), (0, 3))),
    (3, ()),
]
layouts = given(
    layout=st.sampled_from(LAYOUTS),
    layers=st.integers(0, 3),
    cascade=st.sampled_from(["tree", "line"]),
    seed=st.integers(0, 2**32 - 1),
)
CASES = settings(max_examples=30, deadline=None)


def ring_edges(size: int) -> list[tuple[int, int]]:
    even = [(i, i + 1) for i in range(0, size - 1, 2)]
    odd = [(i, i + 1) for i in range(1, size - 1, 2)]
    return even + odd + ([(size - 1, 0)] if size > 2 else [])


def all_edges(size: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(size) for j in range(i + 1, size)]


def free(ising: Ising) -> list[int]:
    return [spin for spin in range(ising.spins) if not any(spin in group for group in ising.groups)]


def hopping(dense, ising: Ising, beta: float, *, ring: bool) -> list[np.ndarray]:
    """Exponents of one mixer: for the ring edge by edge, else the sum of all edges."""
    exponents = [1j * beta * dense.driver(ising.spins, free(ising))]
    for group in ising.groups:
        edges = ring_edges(len(group)) if ring else all_edges(len(group))
        terms = [2j * beta / len(group) * dense.hopping(ising.spins, group[i], group[j]) for i, j in edges]
        exponents += terms if ring or not terms else [sum(terms)]
    return exponents


def xy_state(dense, ising: Ising, gammas: np.ndarray, betas: np.ndarray, *, ring: bool) -> np.ndarray:
    cost, state = dense.cost(ising), dense.uniform(ising)
    for gamma, beta in zip(gammas, betas, strict=True):
        state = dense.evolve(state, -1j * gamma * cost, *hopping(dense, ising, beta, ring=ring))
    return state


def feasible_mass(dense, ising: Ising, state: np.ndarray) -> float:
    return float((np.abs(state) ** 2 * dense.feasible(ising)).sum())


@CASES
@layouts
def test_the_complete_circuit_is_its_exponentials(dense, check, draw, layout, layers, cascade, seed):
    rng = np.random.default_rng(seed)
    ising, angles = draw.model(layout[0], rng, groups=layout[1]), draw.angles(layers, rng)
    expected = xy_state(dense, ising, *angles, ring=False)
    check.same(check.qiskit(complete_circuit(ising, *angles, cascade=cascade)), expected)
    state = check.qiskit(complete_ansatz(ising, layers, cascade=cascade).bind(*angles))
    check.same(state, expected)
    assert feasible_mass(dense, ising, state) == pytest.approx(1.0, abs=1e-12)


@CASES
@layouts
def test_the_ring_circuit_is_its_exponentials(dense, check, draw, layout, layers, cascade, seed):
    rng = np.random.default_rng(seed)
    ising, angles = draw.model(layout[0], rng, groups=layout[1]), draw.angles(layers, rng)
    expected = xy_state(dense, ising, *angles, ring=True)
    check.same(check.qiskit(ring_circuit(ising, *angles)), expected)
    state = check.qiskit(ring_ansatz(ising, layers).bind(*angles))
    check.same(state, expected)
    assert feasible_mass(dense, ising, state) == pytest.approx(1.0, abs=1e-12)


@CASES
@layouts
def test_the_grover_circuit_is_its_exponentials(dense, check, draw, layout, layers, cascade, seed):
    rng = np.random.default_rng(seed)
    ising, (gammas, betas) = draw.model(layout[0], rng, groups=layout[1]), draw.angles(layers, rng)
    start, cost = dense.uniform(ising), dense.cost(ising)
    projector = np.outer(start, start)
    exponents = [m for g, b in zip(gammas, betas, strict=True) for m in (-1j * g * cost, 1j * b * projector)]
    expected = dense.evolve(start, *exponents)
    check.same(check.qiskit(grover_circuit(ising, gammas, betas, cascade=cascade)), expected)
    state = check.qiskit(grover_ansatz(ising, layers, cascade=cascade).bind(gammas, betas))
    check.same(state, expected)
    assert feasible_mass(dense, ising, state) == pytest.approx(1.0, abs=1e-12)


@CASES
@layouts
def test_complete_equals_the_product_of_its_groups(check, draw, layout, layers, cascade, seed):
    """k-level factors: exp(i (2 beta / k) (J - I)) on the k choices of each group, a free spin being k = 2."""
    rng = np.random.default_rng(seed)
    ising, (gammas, betas) = draw.model(layout[0], rng, groups=layout[1]), draw.angles(layers, rng)
    factors = [*[[1 << spin for spin in group] for group in ising.groups], *[[0, 1 << spin] for spin in free(ising)]]
    indices = np.zeros((), dtype=np.int64)
    for levels in factors:
        indices = indices[..., None] + np.array(levels)
    bits = 1 - 2 * ((indices[..., None] >> np.arange(ising.spins)) & 1)
    energies = bits @ ising.h + np.einsum("...i,ij,...j->...", bits, ising.J, bits)
    state = np.full(indices.shape, indices.size**-0.5, dtype=complex)
    for gamma, beta in zip(gammas, betas, strict=True):
        state = state * np.exp(-1j * gamma * energies)
        for axis, levels in enumerate(factors):
            k = len(levels)
            turn = np.exp(-2j * beta / k) * (np.eye(k) + (np.exp(2j * beta) - 1) / k * np.ones((k, k)))
            state = np.moveaxis(np.tensordot(turn, state, axes=(1, axis)), 0, axis)
    expected = np.zeros(2**ising.spins, dtype=complex)
    expected[indices.ravel()] = state.ravel()
    check.same(check.qiskit(complete_circuit(ising, gammas, betas, cascade=cascade)), expected)


def warm_state(dense, ising: Ising, chances: np.ndarray, gammas: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """By the definition: start amplitudes are roots of probabilities, mixers exponentials of what they leave alone."""
    n = ising.spins
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    state = np.sqrt(dense.feasible(ising)).astype(complex)
    exponents = []
    for spin in free(ising):
        state *= np.sqrt(np.where(bits[:, spin] == 1, chances[spin], 1 - chances[spin]))
        tilt = 2 * np.arcsin(np.sqrt(chances[spin]))
        x, z = dense.on(n, {spin: np.array([[0, 1], [1, 0]])}), dense.on(n, {spin: np.diag([1, -1])})
        exponents.append(1j * (np.sin(tilt) * x + np.cos(tilt) * z))
    for group in map(list, ising.groups):
        state *= np.sqrt((bits[:, group] * chances[group]).sum(axis=1))
        weights = np.where(bits[:, group].sum(axis=1) == 1, np.sqrt((bits[:, group] * chances[group]).sum(axis=1)), 0)
        outside = np.delete(bits, group, axis=1)
        same = (outside[:, None] == outside[None]).all(axis=2)
        exponents.append(2j * np.outer(weights, weights) * same)
    cost = dense.cost(ising)
    for gamma, beta in zip(gammas, betas, strict=True):
        state = dense.evolve(state, -1j * gamma * cost, *(beta * exponent for exponent in exponents))
    return state


@CASES
@layouts
def test_the_warm_circuit_is_its_exponentials(dense, check, draw, layout, layers, cascade, seed):
    rng = np.random.default_rng(seed)
    ising, angles = draw.model(layout[0], rng, groups=layout[1]), draw.angles(layers, rng)
    relaxed, epsilon = rng.uniform(size=ising.spins), float(rng.choice([0.0, 0.1, 0.25]))
    chances = start_probabilities(ising, relaxed, epsilon)
    expected = warm_state(dense, ising, chances, *angles)
    options = {"epsilon": epsilon, "cascade": cascade}
    check.same(check.qiskit(warm_start_circuit(ising, relaxed, *angles, **options)), expected)
    state = check.qiskit(warm_start_ansatz(ising, relaxed, layers, **options).bind(*angles))
    check.same(state, expected)
    assert feasible_mass(dense, ising, state) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("groups", [(), ((3, 0, 1), (4, 2))])
def test_a_warm_start_that_knows_nothing_is_the_cold_start(check, draw, groups):
    rng = np.random.default_rng(3)
    ising, angles = draw.model(6, rng, groups=groups), draw.angles(3, rng)
    warm = warm_start_circuit(ising, rng.uniform(size=6), *angles, epsilon=0.5)
    cold = complete_circuit if groups else transverse_circuit
    check.same(check.qiskit(warm), check.qiskit(cold(ising, *angles)))


def test_a_certain_start_never_moves(check, draw):
    rng = np.random.default_rng(4)
    ising, angles = draw.model(6, rng, groups=((3, 0, 1),)), draw.angles(2, rng)
    known = np.array([0, 0, 1, 1, 0, 1])
    state = check.qiskit(warm_start_circuit(ising, known, *angles, epsilon=0.0))
    assert abs(state[int(known @ 2 ** np.arange(6))]) == pytest.approx(1.0, abs=1e-12)


def test_start_probabilities_keep_their_distance_from_certainty():
    ising = Ising(np.zeros(7), np.zeros((7, 7)), groups=((0, 1, 2), (3, 4)))
    found = start_probabilities(ising, np.array([0, 1, 0, 1, 0, 1, 0.4]), 0.1)
    np.testing.assert_allclose(found, [0.2 / 3, 0.8 + 0.2 / 3, 0.2 / 3, 0.9, 0.1, 0.9, 0.4])
    nothing = start_probabilities(ising, np.zeros(7), 0.0)
    np.testing.assert_allclose(nothing, [1 / 3] * 3 + [1 / 2] * 2 + [0.0] * 2)


@pytest.mark.parametrize("groups", [((0, 1, 2), (3, 4, 5, 6)), ((6, 2),)])
def test_aer_runs_every_one_hot_circuit_as_it_is(dense, check, draw, groups):
    rng = np.random.default_rng(5)
    ising, angles = draw.model(7, rng, groups=groups), draw.angles(2, rng)
    relaxed = rng.uniform(size=7)
    uniform, cost = dense.uniform(ising), dense.cost(ising)
    grover = uniform
    for gamma, beta in zip(*angles, strict=True):
        grover = dense.evolve(grover, -1j * gamma * cost, 1j * beta * np.outer(uniform, uniform))
    warm = warm_state(dense, ising, start_probabilities(ising, relaxed, 0.25), *angles)
    check.same(check.aer(complete_circuit(ising, *angles)), xy_state(dense, ising, *angles, ring=False))
    check.same(check.aer(ring_circuit(ising, *angles)), xy_state(dense, ising, *angles, ring=True))
    check.same(check.aer(grover_circuit(ising, *angles)), grover)
    check.same(check.aer(warm_start_circuit(ising, relaxed, *angles)), warm)


def test_a_ring_of_three_nears_the_complete_mixer_as_the_square_of_beta(check, draw):
    """Half the angle, a quarter of the distance between the two states."""
    tilted = Ising(np.random.default_rng(6).normal(size=3), np.zeros((3, 3)), groups=((0, 1, 2),))
    gaps = []
    for beta in (0.2, 0.1, 0.05):
        ring, complete = (check.qiskit(build(tilted, [0.7], [beta])) for build in (ring_circuit, complete_circuit))
        gaps.append(np.sqrt(1 - min(1.0, abs(np.vdot(ring, complete)) ** 2)))
    np.testing.assert_allclose(np.array(gaps[:-1]) / np.array(gaps[1:]), 4.0, rtol=0.1)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8])
def test_gates_and_depth_of_the_mixers_are_the_documented_ones(size):
    group = tuple(range(size))
    ising = Ising(np.zeros(size), np.zeros((size, size)), groups=(group,))
    steps = math.ceil(math.log2(size))

    def added(build, **options) -> tuple[int, int]:
        one, two = (build(ising, layers, **options).footprint for layers in (1, 2))
        return two.two_qubit_gates - one.two_qubit_gates, two.two_qubit_depth - one.two_qubit_depth

    assert added(complete_ansatz) == (4 * (size - 1), 4 * steps)
    assert added(complete_ansatz, cascade="line") == (4 * (size - 1), 4 * (size - 1))
    assert added(ring_ansatz)[0] == {1: 0, 2: 2}.get(size, 2 * size)
    mixer = QuantumCircuit(size)
    for first, second in ring_edges(size):
        hop(mixer, first, second, 0.3)
    assert footprint(mixer).two_qubit_depth == {1: 0, 2: 2}.get(size, 6 if size % 2 else 4)
    start = complete_ansatz(ising, 0).footprint
    assert (start.two_qubit_gates, start.two_qubit_depth) == (2 * (size - 1), 2 * steps)


def test_a_grover_layer_has_one_wide_gate_which_open_angles_write_out(draw):
    ising = draw.model(8, np.random.default_rng(7), groups=((0, 1, 2), (3, 4, 5)))
    bound = [footprint(grover_circuit(ising, np.ones(layers), np.ones(layers))) for layers in (1, 2)]
    opened = [grover_ansatz(ising, layers).footprint for layers in (1, 2)]
    for (one, two), wide, two_qubit in ((bound, 1, 2 * 8 + 28), (opened, 4, 2 * 8 + 28 + 2)):
        assert two.wider_gates - one.wider_gates == wide
        assert two.two_qubit_gates - one.two_qubit_gates == two_qubit


def test_a_rotation_and_a_hop_are_two_cx_however_hard_a_compiler_tries():
    for gate in (rotate, hop):
        circuit = QuantumCircuit(2)
        gate(circuit, 0, 1, 0.3)
        best = transpile(circuit, basis_gates=["cx", "u"], optimization_level=3, seed_transpiler=1)
        assert footprint(circuit).two_qubit_gates == best.count_ops()["cx"] == 2


def test_a_weighted_choice_has_its_weights_and_a_zero_weight_none(check):
    weights = [0.0, 3.0, 0.0, 0.0, 1.0]
    for cascade in ("tree", "line"):
        circuit = QuantumCircuit(5)
        choose(circuit, range(5), weights, cascade)
        state = check.qiskit(circuit)
        np.testing.assert_allclose(np.abs(state[2 ** np.arange(5)]) ** 2, [0, 0.75, 0, 0, 0.25], atol=1e-12)
        before = state.copy()
        mix(circuit, range(5), weights, cascade, 0.4)
        check.same(check.qiskit(circuit), before)  # the mixer's own eigenstate


@pytest.mark.parametrize(
    ("relaxed", "epsilon"), [([0.5] * 2, 0.1), ([0.5, 0.5, 1.5], 0.1), ([0.5, 0.5, np.nan], 0.1), ([0.5] * 3, 0.6)]
)
def test_starts_out_of_range_are_refused(draw, relaxed, epsilon):
    with pytest.raises(ValueError, match="expected"):
        start_probabilities(draw.model(3, np.random.default_rng(8)), relaxed, epsilon)
