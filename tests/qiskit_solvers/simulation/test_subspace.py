"""The feasible subspace holds the state of the whole register, seen where every group is one-hot."""

import itertools
import tracemalloc
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.stats import chisquare

from qiskit_solvers import Ising, TooLarge, diagonal, energies
from qiskit_solvers.simulation.sampling import drawn
from qiskit_solvers.simulation.subspace import Subspace, bytes_needed

Mixer = Literal["complete", "grover"]

shapes = st.tuples(st.lists(st.integers(1, 5), max_size=3), st.integers(0, 3)).filter(lambda s: sum(s[0]) + s[1] <= 9)
seeds = st.integers(0, 2**32 - 1)
mixers: st.SearchStrategy[Mixer] = st.sampled_from(["complete", "grover"])


def model(sizes: list[int], free: int, rng: np.random.Generator, density: float = 1.0) -> Ising:
    """Random model: groups of these sizes on shuffled spins."""
    spins = sum(sizes) + free
    order = rng.permutation(spins).tolist()
    ends = np.cumsum([0, *sizes]).tolist()
    groups = tuple(tuple(order[a:b]) for a, b in itertools.pairwise(ends))
    J = np.triu(rng.normal(size=(spins, spins)) * (rng.random((spins, spins)) < density), 1)
    return Ising(rng.normal(size=spins), J, rng.normal() * 3, groups)


def factors_by_hand(ising: Ising) -> list[tuple[int, ...]]:
    """Spins of each factor: groups, then free spins one by one."""
    grouped = {spin for group in ising.groups for spin in group}
    return [*ising.groups, *((spin,) for spin in range(ising.spins) if spin not in grouped)]


def register_numbers(ising: Ising) -> np.ndarray:
    """For every feasible string, in subspace order: its number in the register of all spins."""
    options = [
        [1 << s for s in spins] if spins in ising.groups else [0, 1 << spins[0]] for spins in factors_by_hand(ising)
    ]
    return np.array([sum(choice) for choice in itertools.product(*options[::-1])], dtype=np.int64)


def register_mixer(ising: Ising) -> np.ndarray:
    """Generator H of the complete mixer ``exp(i beta H)`` on the register, ``(2**spins, 2**spins)``, bit by bit."""
    size = 1 << ising.spins
    H = np.zeros((size, size))
    for spins in factors_by_hand(ising):
        for x in range(size):
            if spins not in ising.groups:
                H[x ^ (1 << spins[0]), x] += 1
                continue
            for here, there in itertools.permutations(spins, 2):
                if x >> here & 1 and not x >> there & 1:
                    H[x ^ (1 << here) ^ (1 << there), x] += 2 / len(spins)
    return H


def register_state(ising: Ising, gammas: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """Dense state of the whole register, from the exponential of the whole mixer."""
    here = register_numbers(ising)
    state = np.zeros(1 << ising.spins, dtype=np.complex128)
    state[here] = here.size**-0.5
    H = register_mixer(ising)
    cost = diagonal(ising) - ising.offset
    for gamma, beta in zip(gammas, betas, strict=True):
        state = expm(1j * beta * H) @ (np.exp(-1j * gamma * cost) * state)
    return state


def generator(sizes: list[int], mixer: Mixer) -> np.ndarray:
    """Generator H of a mixer ``exp(i beta H)`` on the product space, by Kronecker products."""
    total = int(np.prod(sizes, dtype=np.int64))
    if mixer == "grover":
        return np.full((total, total), 1 / total)
    H = np.zeros((total, total))
    for f, k in enumerate(sizes):
        below, above = int(np.prod(sizes[:f], dtype=np.int64)), int(np.prod(sizes[f + 1 :], dtype=np.int64))
        H += np.kron(np.eye(above), np.kron(2 / k * (np.ones((k, k)) - np.eye(k)), np.eye(below)))
    return H


def expectation(
    cost: np.ndarray, H: np.ndarray, observable: np.ndarray, gammas: np.ndarray, betas: np.ndarray
) -> complex:
    """Return <observable>, continued to complex angles: bra and ket each with the same angles, neither conjugated."""
    ket = np.full(cost.size, cost.size**-0.5, dtype=np.complex128)
    bra = ket.copy()
    for gamma, beta in zip(gammas, betas, strict=True):
        ket = expm(1j * beta * H) @ (np.exp(-1j * gamma * cost) * ket)
        bra = expm(-1j * beta * H) @ (np.exp(1j * gamma * cost) * bra)
    return complex(bra @ (observable * ket))


def angles(layers: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.uniform(-2, 2, size=layers), rng.uniform(-2, 2, size=layers)


def sizes_of(ising: Ising) -> list[int]:
    return [len(spins) if spins in ising.groups else 2 for spins in factors_by_hand(ising)]


@settings(max_examples=25, deadline=None)
@given(shape=shapes, layers=st.integers(0, 3), density=st.sampled_from([0.0, 0.5, 1.0]), seed=seeds)
def test_the_state_is_that_of_the_whole_register(shape: tuple[list[int], int], layers: int, density: float, seed: int):
    rng = np.random.default_rng(seed)
    ising = model(*shape, rng, density)
    gammas, betas = angles(layers, rng)
    whole = register_state(ising, gammas, betas)
    here = register_numbers(ising)
    np.testing.assert_allclose(Subspace(ising).state(gammas, betas), whole[here], atol=1e-11)
    assert np.linalg.norm(np.delete(whole, here)) < 1e-11


@settings(max_examples=60, deadline=None)
@given(shape=shapes, mixer=mixers, layers=st.integers(0, 3), seed=seeds)
def test_the_state_is_that_of_the_product_space(shape: tuple[list[int], int], mixer: Mixer, layers: int, seed: int):
    rng = np.random.default_rng(seed)
    ising = model(*shape, rng)
    space = Subspace(ising, mixer=mixer)
    gammas, betas = angles(layers, rng)
    expected = np.full(space.size, space.size**-0.5, dtype=np.complex128)
    H = generator(sizes_of(ising), mixer)
    cost = diagonal(ising)[register_numbers(ising)] - ising.offset
    for gamma, beta in zip(gammas, betas, strict=True):
        expected = expm(1j * beta * H) @ (np.exp(-1j * gamma * cost) * expected)
    np.testing.assert_allclose(space.state(gammas, betas), expected, atol=1e-11)


@settings(max_examples=60, deadline=None)
@given(shape=shapes, seed=seeds)
def test_costs_and_strings_belong_together(shape: tuple[list[int], int], seed: int):
    ising = model(*shape, np.random.default_rng(seed))
    space = Subspace(ising)
    strings = space.strings(np.arange(space.size))
    np.testing.assert_allclose(space.costs, energies(ising, strings), atol=1e-11)
    np.testing.assert_allclose(space.costs, diagonal(ising)[register_numbers(ising)], atol=1e-11)
    assert all((strings[:, list(group)] == -1).sum(axis=1).tolist() == [1] * space.size for group in ising.groups)


@settings(max_examples=60, deadline=None)
@given(shape=shapes, mixer=mixers, layers=st.integers(0, 4), seed=seeds, own=st.booleans())
def test_the_slope_is_the_derivative(shape: tuple[list[int], int], mixer: Mixer, layers: int, seed: int, own: bool):
    """Against differences of dense exponentials, real and imaginary steps together: fourth order."""
    rng = np.random.default_rng(seed)
    ising = model(*shape, rng)
    space = Subspace(ising, mixer=mixer)
    gammas, betas = angles(layers, rng)
    observable = rng.normal(size=space.size) if own else None
    seen = space.costs if observable is None else observable
    slope = space.slope(gammas, betas, observable)
    H, cost = generator(sizes_of(ising), mixer), space.costs - ising.offset
    assert slope.value == pytest.approx(expectation(cost, H, seen, gammas, betas).real, abs=1e-9)
    step = 3e-4 * np.eye(layers)

    def derivative(by: np.ndarray, along: np.ndarray) -> float:
        real = expectation(cost, H, seen, gammas + by, betas + along)
        real -= expectation(cost, H, seen, gammas - by, betas - along)
        turned = expectation(cost, H, seen, gammas + 1j * by, betas + 1j * along)
        turned -= expectation(cost, H, seen, gammas - 1j * by, betas - 1j * along)
        return (real.real + turned.imag) / 12e-4

    by_gamma = [derivative(d, 0 * d) for d in step]
    by_beta = [derivative(0 * d, d) for d in step]
    np.testing.assert_allclose(slope.gammas, by_gamma, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(slope.betas, by_beta, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "free", "passes"),
    [
        ([7, 5, 6, 4, 3, 2, 5, 4], 0, 2),
        ([90, 2, 90], 3, 3),
        ([2, 300, 300], 0, 2),
        ([4] * 6, 4, 2),
        ([600], 3, 2),
    ],
)
def test_many_blocks_and_strips_equal_plain_sums(sizes: list[int], free: int, passes: int):
    """The same layers by numpy on the whole array, for sizes that do not fit the blocks."""
    rng = np.random.default_rng(len(sizes))
    space = Subspace(model(sizes, free, rng, 0.5))
    assert space.layout.cuts.size - 1 == passes
    gammas, betas = 0.1 * angles(2, rng)[0], angles(2, rng)[1]
    expected = np.full(space.size, space.size**-0.5, dtype=np.complex128)
    for gamma, beta in zip(gammas, betas, strict=True):
        expected *= np.exp(-1j * gamma * (space.costs - space.ising.offset))
        stride = 1
        for k in [*sizes, *[2] * free]:
            view = expected.reshape(-1, k, stride)
            spread = (np.exp(2j * beta) - 1) / k * view.sum(axis=1, keepdims=True)
            expected = (np.exp(-2j * beta / k) * (view + spread)).reshape(-1)
            stride *= k
    np.testing.assert_allclose(space.state(gammas, betas), expected, atol=1e-12)
    np.testing.assert_allclose(
        Subspace(space.ising, "single").state(gammas, betas), expected, atol=1e-5 * np.abs(expected).max()
    )
    picked = rng.integers(space.size, size=200)
    np.testing.assert_allclose(space.costs[picked], energies(space.ising, space.strings(picked)), atol=1e-9)


def test_the_slope_equals_central_differences_where_blocks_are_many():
    rng = np.random.default_rng(3)
    space = Subspace(model([5, 5, 4, 4, 3, 3], 2, rng, 0.3))
    gammas, betas = 0.1 * angles(2, rng)[0], angles(2, rng)[1]
    slope = space.slope(gammas, betas)
    step = 1e-5 * np.eye(2)
    energy = space.energy
    by_gamma = [(energy(gammas + d, betas) - energy(gammas - d, betas)) / 2e-5 for d in step]
    by_beta = [(energy(gammas, betas + d) - energy(gammas, betas - d)) / 2e-5 for d in step]
    assert slope.value == pytest.approx(energy(gammas, betas), rel=1e-12)
    np.testing.assert_allclose(slope.gammas, by_gamma, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(slope.betas, by_beta, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mixer", ["complete", "grover"])
@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize(("sizes", "free"), [([3] * 6, 0), ([8] * 4, 0), ([5, 5, 5, 5], 4), ([], 12), ([1, 1], 0)])
def test_energy_is_the_mean_cost_and_the_norm_is_one(
    sizes: list[int], free: int, precision: Literal["double", "single"], mixer: Mixer
):
    rng = np.random.default_rng(len(sizes))
    space = Subspace(model(sizes, free, rng), precision, mixer)
    gammas, betas = angles(4, rng)
    chances = space.probabilities(gammas, betas)
    close = 1e-12 if precision == "double" else 1e-5
    assert chances.sum() == pytest.approx(1.0, abs=close)
    assert space.energy(gammas, betas) == pytest.approx(chances @ space.costs, rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(np.abs(space.state(gammas, betas)) ** 2, chances, atol=close / 10)


@pytest.mark.parametrize("mixer", ["complete", "grover"])
def test_single_precision_agrees_with_double(mixer: Mixer):
    rng = np.random.default_rng(5)
    ising = model([4, 3, 5, 2], 3, rng)
    gammas, betas = angles(5, rng)
    double, single = Subspace(ising, mixer=mixer), Subspace(ising, "single", mixer)
    assert single.state(gammas, betas).dtype == np.complex64
    assert double.state(gammas, betas).dtype == np.complex128
    np.testing.assert_allclose(single.state(gammas, betas), double.state(gammas, betas), atol=2e-6)
    np.testing.assert_allclose(single.slope(gammas, betas).gammas, double.slope(gammas, betas).gammas, rtol=1e-3)
    np.testing.assert_allclose(single.slope(gammas, betas).betas, double.slope(gammas, betas).betas, rtol=1e-3)


def test_samples_follow_the_probabilities():
    rng = np.random.default_rng(6)
    space = Subspace(model([3, 4], 2, rng))
    gammas, betas = np.array([0.2, 0.3]), np.array([0.5, 0.2])
    shots = 20_000
    seen = np.bincount(drawn(space.probabilities(gammas, betas), shots, rng), minlength=space.size)
    assert chisquare(seen, space.probabilities(gammas, betas) * shots).pvalue > 1e-3
    for none in (0, -1):
        with pytest.raises(ValueError, match=f"shots: expected at least 1, got {none}"):
            drawn(space.probabilities(gammas, betas), none, rng)


@pytest.mark.parametrize("precision", ["double", "single"])
def test_no_layers_leave_the_uniform_state(precision: Literal["double", "single"]):
    space = Subspace(model([3, 2], 1, np.random.default_rng(0)), precision)
    np.testing.assert_allclose(space.state(np.zeros(0), np.zeros(0)), 12**-0.5, rtol=1e-6)
    assert space.slope(np.zeros(0), np.zeros(0)).value == pytest.approx(space.costs.mean(), rel=1e-6)


def test_no_spins_are_one_empty_string():
    space = Subspace(Ising(np.zeros(0), np.zeros((0, 0)), 2.5))
    assert space.size == 1
    assert space.energy(np.ones(2), np.ones(2)) == pytest.approx(2.5)
    assert space.strings(np.zeros(1, dtype=np.int64)).shape == (1, 0)


def test_too_large_is_refused_before_anything_is_allocated():
    ising = Ising(np.zeros(400), np.zeros((400, 400)), groups=tuple(tuple(range(i, i + 8)) for i in range(0, 400, 8)))
    tracemalloc.start()
    with pytest.raises(TooLarge, match=r"subspace: expected at most 2048 MiB, needs 2\*\*\d+ MiB"):
        Subspace(ising)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 1 << 20
    assert 40 * 8**50 < bytes_needed(ising) < 41 * 8**50
    assert 24 * 8**50 < bytes_needed(ising, "single") < 25 * 8**50
    small = Ising(np.zeros(4), np.zeros((4, 4)), groups=((0, 1, 2),))
    needed = bytes_needed(small)
    assert Subspace(small, max_bytes=needed).size == 6
    with pytest.raises(TooLarge, match="subspace: expected at most 0 MiB, needs 1 MiB"):
        Subspace(small, max_bytes=needed - 1)


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize(("sizes", "free"), [([8] * 5, 4), ([3] * 10, 0), ([600], 3), ([60, 60], 6)])
def test_the_estimate_of_memory_is_what_is_held(sizes: list[int], free: int, precision: Literal["double", "single"]):
    rng = np.random.default_rng(1)
    ising = model(sizes, free, rng)
    gammas, betas = angles(1, rng)
    warm = Subspace(ising, precision)
    for ask in (warm.state, warm.slope):
        ask(gammas, betas)  # compiled
    tracemalloc.start()
    space = Subspace(ising, precision)
    space.state(gammas, betas)
    space.slope(gammas, betas)
    drawn(space.probabilities(gammas, betas), 1, rng)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    needed = bytes_needed(ising, precision)
    assert 0.6 * needed < held < 1.01 * needed + 50_000


@pytest.mark.parametrize(
    ("gammas", "betas", "message"),
    [
        (np.ones(2), np.ones(3), "two equal shapes"),
        (np.ones((1, 2)), np.ones((1, 2)), "two equal shapes"),
        (np.array([np.nan]), np.ones(1), "finite"),
        (np.ones(1), np.array([np.inf]), "finite"),
    ],
)
def test_wrong_angles_are_refused(gammas: np.ndarray, betas: np.ndarray, message: str):
    space = Subspace(Ising(np.ones(2), np.zeros((2, 2)), groups=((0, 1),)))
    for ask in (space.state, space.probabilities, space.energy, space.slope):
        with pytest.raises(ValueError, match=message):
            ask(gammas, betas)


def test_angles_may_be_lists():
    space = Subspace(model([3, 2], 1, np.random.default_rng(1)))
    gammas, betas = [0.1, 0.3], [0.4, 0.2]
    arrays = np.array(gammas), np.array(betas)
    for ask in (space.state, space.probabilities, space.energy):
        np.testing.assert_array_equal(ask(gammas, betas), ask(*arrays))  # type: ignore[arg-type]
    np.testing.assert_array_equal(space.slope(gammas, betas).betas, space.slope(*arrays).betas)  # type: ignore[arg-type]


def test_wrong_options_observables_and_indices_are_refused():
    ising = Ising(np.ones(2), np.zeros((2, 2)), groups=((0, 1),))
    with pytest.raises(ValueError, match="precision: expected"):
        Subspace(ising, "half")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mixer: expected"):
        Subspace(ising, mixer="ring")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"observable: expected shape \(2,\), got \(3,\)"):
        Subspace(ising).slope(np.ones(1), np.ones(1), np.ones(3))
    for wrong in (-1, 2):
        with pytest.raises(ValueError, match="indices: expected 0 to 1"):
            Subspace(ising).strings(np.array([wrong]))


def placement(items: int, bins: int, rng: np.random.Generator) -> Ising:
    """Items in one-hot bins: squared loads of bins, gamma-distributed traffic between items and to data in a bin."""
    loads = rng.integers(1, 4, size=items).astype(np.float64)
    traffic = np.triu(rng.gamma(1.0, 1.0, size=(items, items)), 1)
    together = np.kron(2 * np.outer(loads, loads) - traffic - traffic.T, np.eye(bins))
    J = np.triu(together, 1) / 4
    data = rng.gamma(1.0, 1.0, size=(items, bins)) * loads[:, None]
    h = -data.reshape(-1) / 2 - (J + J.T).sum(axis=1)
    return Ising(h, J, groups=tuple(tuple(range(i * bins, (i + 1) * bins)) for i in range(items)))


def test_a_linear_ramp_finds_the_optimum_a_hundred_times_as_often_as_chance():
    times = (np.arange(30) + 0.5) / 30
    gains = []
    for seed in range(20):
        space = Subspace(placement(6, 3, np.random.default_rng(seed)))
        best = np.isclose(space.costs, space.costs.min(), rtol=1e-9)
        chances = space.probabilities(2.2 * times / space.costs.std(), 0.5 * (1 - times))
        gains.append(chances[best].sum() / best.mean())
    assert np.median(gains) > 100
