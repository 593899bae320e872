"""Thermal strings, against the exponential of the whole Hamiltonian, by all three methods."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.stats import chisquare

from qiskit_solvers import Ising, TooLarge, diagonal, energies
from qiskit_solvers.boltzmann import Boltzmann, Method, thermal_diagonal, thermal_probabilities
from qiskit_solvers.one_hot import feasible
from qiskit_solvers.simulation.subspace import Subspace

METHODS: list[Method] = ["exact", "krylov", "paths"]
GROUPS = [(), ((0, 2), (4, 1, 3)), ((1,), (0, 3, 5))]


def model(spins: int, seed: int = 7, groups: tuple[tuple[int, ...], ...] = ()) -> Ising:
    rng = np.random.default_rng(seed)
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)), 1), 1.5, groups)


def dense(ising: Ising, inverse_temperature: float, field: float) -> np.ndarray:
    """The thermal distribution over all 2**spins strings, cut down to those of the subspace.

    The mixer of a group is written with spins: ``(2 / k)`` times the hops of the one choice between its members.
    """
    n = ising.spins
    flip, up = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 0.0]])

    def at(operators: dict[int, np.ndarray]) -> np.ndarray:
        return functools.reduce(np.kron, [operators.get(spin, np.eye(2)) for spin in reversed(range(n))])

    mixer = np.zeros((2**n, 2**n))
    grouped = {spin for group in ising.groups for spin in group}
    for spin in set(range(n)) - grouped:
        mixer += at({spin: flip})
    for group in ising.groups:
        for a in group:
            for b in group:
                if a != b:
                    mixer += 2.0 / len(group) * at({a: up, b: up.T})
    space = Subspace(ising)
    rows = (space.strings(np.arange(space.size)) < 0) @ (1 << np.arange(n))
    H = (np.diag(diagonal(ising)) - field * mixer)[np.ix_(rows, rows)]
    state = expm(-inverse_temperature * (H - np.eye(len(H)) * diagonal(ising).min()))
    return np.diag(state) / np.trace(state)


def numbers(ising: Ising, strings: np.ndarray) -> np.ndarray:
    """Which string of the subspace each sample is."""
    space = Subspace(ising)
    where = {string.tobytes(): number for number, string in enumerate(space.strings(np.arange(space.size)))}
    return np.array([where[string.tobytes()] for string in strings])


@settings(max_examples=20)
@given(
    groups=st.sampled_from(GROUPS),
    seed=st.integers(0, 1000),
    inverse_temperature=st.sampled_from([0.0, 0.3, 1.0, 4.0]),
    field=st.sampled_from([0.0, 0.4, 2.0]),
)
def test_exact_probabilities_are_those_of_the_matrix_exponential(
    groups: tuple[tuple[int, ...], ...], seed: int, inverse_temperature: float, field: float
):
    ising = model(6, seed, groups)
    expected = dense(ising, inverse_temperature, field)
    np.testing.assert_allclose(thermal_probabilities(ising, inverse_temperature, field), expected, atol=1e-10)


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize(("inverse_temperature", "field"), [(1.0, 0.7), (2.0, 0.3), (1.0, 2.0)])
def test_random_states_average_to_the_thermal_state(
    groups: tuple[tuple[int, ...], ...], inverse_temperature: float, field: float
):
    ising = model(6, 1, groups)
    expected = dense(ising, inverse_temperature, field)
    few, many = (
        np.abs(
            thermal_probabilities(ising, inverse_temperature, field, rng=np.random.default_rng(2), vectors=vectors)
            - expected
        ).sum()
        / 2
        for vectors in (2, 200)
    )
    assert many < 0.04
    assert many < few


def test_a_random_state_is_cooled_as_the_exponential_cools_it():
    """More states than one Krylov space holds, in several steps: each must be exact, so all of them together are."""
    ising = model(7, 3)
    every = 2**7
    vectors = 3
    rng = np.random.default_rng(5)
    found = thermal_probabilities(ising, 30.0, 0.9, rng=rng, vectors=vectors)
    signs = np.random.default_rng(5)
    space = Subspace(ising)
    H = np.diag(space.costs).astype(float)
    index = np.arange(every)
    for spin in range(7):
        H[index, index ^ (1 << spin)] -= 0.9
    levels, states = np.linalg.eigh(H)
    total = np.zeros(every)
    for _ in range(vectors):
        start = 1.0 - 2.0 * signs.integers(0, 2, every)
        cooled = states @ (np.exp(-15.0 * (levels - levels[0])) * (states.T @ start))
        total += cooled**2
    np.testing.assert_allclose(found, total / total.sum(), atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("groups", GROUPS)
def test_without_a_field_samples_follow_the_classical_distribution(method: Method, groups: tuple[tuple[int, ...], ...]):
    ising = model(6, 2, groups)
    costs = Subspace(ising).costs
    classical = np.exp(-0.4 * (costs - costs.min()))
    classical /= classical.sum()
    solver = Boltzmann(inverse_temperature=0.4, field=0.0, samples=2000, method=method, reads=2000, sweeps=30)
    seen = np.bincount(numbers(ising, solver.drawn(ising, np.random.default_rng(3))), minlength=classical.size)
    assert chisquare(seen, 2000 * classical).pvalue > 0.001
    if method == "exact":
        np.testing.assert_allclose(thermal_probabilities(ising, 0.4, 0.0), classical, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["exact", "paths"])  # random states scatter; their own tests are above
@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize(("inverse_temperature", "field"), [(0.5, 1.5), (1.0, 0.6)])
def test_samples_follow_the_quantum_distribution(
    method: Method, groups: tuple[tuple[int, ...], ...], inverse_temperature: float, field: float
):
    ising = model(6, 1, groups)
    expected = dense(ising, inverse_temperature, field)
    solver = Boltzmann(
        inverse_temperature=inverse_temperature,
        field=field,
        samples=2000,
        method=method,
        slices=32,
        reads=2000,
        sweeps=80,
    )
    seen = np.bincount(numbers(ising, solver.drawn(ising, np.random.default_rng(4))), minlength=expected.size)
    distance = np.abs(seen / 2000 - expected).sum() / 2
    assert distance < 2.0 * np.sqrt(expected * (1 - expected) * 2 / np.pi / 2000).sum() / 2 + 0.005
    classical = thermal_probabilities(ising, inverse_temperature, 0.0)
    assert chisquare(seen, 2000 * classical).pvalue < 1e-6  # the field matters: it is not the classical one


def test_more_slices_bring_the_world_lines_closer():
    ising, samples = model(3, 4), 20_000
    expected = dense(ising, 2.0, 1.5)
    distances = []
    for slices in (2, 32):
        solver = Boltzmann(
            inverse_temperature=2.0, field=1.5, samples=samples, method="paths", slices=slices, reads=200, sweeps=50
        )
        seen = np.bincount(numbers(ising, solver.drawn(ising, np.random.default_rng(6))), minlength=8)
        distances.append(np.abs(seen / samples - expected).sum() / 2)
    assert distances[1] < 0.015
    assert distances[1] < distances[0] / 3


def test_the_thermal_diagonal_knows_the_partition_function_and_takes_many_at_once():
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(3, 5, 5))
    matrices = matrices + matrices.transpose(0, 2, 1)
    chances, log_partition = thermal_diagonal(matrices)
    for matrix, diagonal_, log in zip(matrices, chances, log_partition, strict=True):
        state = expm(-matrix)
        np.testing.assert_allclose(diagonal_, np.diag(state) / np.trace(state), atol=1e-12)
        assert log == pytest.approx(np.log(np.trace(state)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("spins", [0, 1, 2, 5, 9])
def test_strings_are_distinct_best_first_and_hold_the_optimum(method: Method, spins: int):
    ising = model(spins)
    strings = Boltzmann(method=method)(ising, np.random.default_rng(1))
    energy = energies(ising, strings)
    assert strings.dtype == np.int8
    assert strings.shape[1] == spins
    assert len({row.tobytes() for row in strings}) == len(strings)
    assert list(energy) == sorted(energy)
    assert energy[0] == pytest.approx(diagonal(ising).min())


@pytest.mark.parametrize("spins", [12, 17])
def test_larger_models_choose_their_method_and_find_the_optimum(spins: int):
    ising = model(spins)
    strings = Boltzmann()(ising, np.random.default_rng(1))
    assert energies(ising, strings)[0] == pytest.approx(diagonal(ising).min())


@pytest.mark.parametrize("method", METHODS)
def test_groups_keep_to_feasible_strings(method: Method):
    ising = model(9, seed=4, groups=((0, 5, 2), (3, 1), (7, 8)))
    strings = Boltzmann(method=method)(ising, np.random.default_rng(2))
    assert feasible(ising, strings).all()
    assert energies(ising, strings)[0] == pytest.approx(Subspace(ising).costs.min())


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_strings_and_the_generator_advances(method: Method):
    solver, ising = Boltzmann(method=method), model(8)
    first, second = (solver(ising, np.random.default_rng(3)) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    flat, rng = Ising(np.zeros(9), np.zeros((9, 9))), np.random.default_rng(3)
    assert not np.array_equal(solver(flat, rng), solver(flat, rng))


def test_conflicts_do_not_freeze_the_temperature():
    """Penalties far above all else set the deviation; eased, the rest still tells strings apart."""
    rng = np.random.default_rng(1)
    gains, W = rng.normal(size=8), np.triu(np.where(rng.random((8, 8)) < 0.2, 1000.0, 0.0), 1)
    ising = Ising(-gains / 2 - (W + W.T).sum(axis=1) / 4, W / 4)
    strings = Boltzmann(samples=64)(ising, rng)
    assert energies(ising, strings)[0] == pytest.approx(diagonal(ising).min())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "ising",
    [
        pytest.param(Ising(np.zeros(3), np.zeros((3, 3))), id="all zero"),
        pytest.param(Ising(np.array([1.0, -2.0, 0.0]), np.zeros((3, 3))), id="no couplings"),
        pytest.param(Ising(np.zeros(3), np.triu(np.ones((3, 3)), 1)), id="no fields"),
        pytest.param(Ising(np.array([0.0, 1e-200]), np.zeros((2, 2)), 1e9), id="tiny under a large offset"),
        pytest.param(Ising(np.array([1e150, 3e149]), np.array([[0, 2e150], [0, 0]])), id="huge"),
    ],
)
def test_unusual_models_have_an_optimum_too(method: Method, ising: Ising):
    strings = Boltzmann(method=method)(ising, np.random.default_rng(5))
    assert energies(ising, strings)[0] == pytest.approx(diagonal(ising).min())


def test_what_does_not_fit_is_refused():
    with pytest.raises(TooLarge, match="at most 512 strings, got 2048"):
        Boltzmann(method="exact")(model(11), np.random.default_rng(0))
    with pytest.raises(TooLarge, match="at most 65536 strings, got 131072"):
        Boltzmann(method="krylov")(model(17), np.random.default_rng(0))
    with pytest.raises(TooLarge, match="30 spins need"):
        Boltzmann(max_bytes=1000)(model(30), np.random.default_rng(0))
    with pytest.raises(TooLarge, match="4096 strings need"):
        Boltzmann(max_bytes=1 << 20)(model(12), np.random.default_rng(0))
    with pytest.raises(TooLarge, match="256 strings need"):
        Boltzmann(max_bytes=1 << 20)(model(8), np.random.default_rng(0))


def test_options_that_make_no_sense_are_refused():
    for count in ("samples", "vectors", "slices", "reads", "sweeps", "max_bytes", "strings"):
        with pytest.raises(ValueError, match="at least 1"):
            Boltzmann(**{count: 0})
    for bad in ({"inverse_temperature": 0.0}, {"inverse_temperature": np.inf}, {"field": -1.0}, {"field": np.nan}):
        with pytest.raises(ValueError, match="inverse temperature"):
            Boltzmann(**bad)
    with pytest.raises(ValueError, match="method"):
        Boltzmann(method="annealer")
    with pytest.raises(ValueError, match="at least 0"):
        thermal_probabilities(model(2), -1.0, 0.0)
    with pytest.raises(ValueError, match="vectors"):
        thermal_probabilities(model(2), 1.0, 0.0, vectors=0)
