"""Annealing as a circuit: its paces, its angles, the continuous anneal that it follows, and its samples."""

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import chisquare

from qiskit_solvers import Ising, TooLarge, diagonal, energies
from qiskit_solvers.one_hot import feasible
from qiskit_solvers.quantum_anneal import (
    AdaptiveAnnealing,
    ExponentialAnnealing,
    LinearAnnealing,
    LocalAnnealing,
    Pace,
    QuantumAnneal,
)
from qiskit_solvers.simulation.spaces import circuit_cost, space_of

PACES = [LinearAnnealing(), ExponentialAnnealing(), AdaptiveAnnealing(), LocalAnnealing()]
MEMORY = 1 << 26


def model(spins: int, seed: int = 7, groups: tuple[tuple[int, ...], ...] = ()) -> Ising:
    rng = np.random.default_rng(seed)
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)), 1), 1.5, groups)


@pytest.fixture(params=PACES, ids=lambda pace: type(pace).__name__)
def pace(request: pytest.FixtureRequest) -> Pace:
    return request.param


def falling(progress: np.ndarray) -> float:
    """An energy that falls quickly in the middle: a step of -3 around s = 1/2."""
    return -3.0 / (1.0 + np.exp(-20.0 * (progress[-1] - 0.5))) if progress.size else 0.0


def test_every_pace_rises_from_the_mixer_to_the_cost(pace: Pace):
    progress = pace.progress(falling)
    assert progress.shape == (pace.steps,)
    assert progress[0] > 0.0
    assert progress[-1] < 1.0
    assert (np.diff(progress) > 0.0).all()


def test_the_linear_pace_is_a_ramp_and_the_exponential_one_halves():
    np.testing.assert_allclose(LinearAnnealing(steps=4).progress(falling), [0.125, 0.375, 0.625, 0.875])
    steps = np.diff(ExponentialAnnealing(steps=8, rate=8 * np.log(2)).progress(falling))
    np.testing.assert_allclose(steps[1:] / steps[:-1], 0.5)
    slow = ExponentialAnnealing(steps=5, rate=1e-9).progress(falling)
    np.testing.assert_allclose(slow, LinearAnnealing(steps=5).progress(falling), atol=1e-9)


def test_the_adaptive_pace_hurries_only_while_the_energy_falls():
    pace = AdaptiveAnnealing(steps=40, rate=3.0, threshold=3.0)
    np.testing.assert_allclose(pace.progress(lambda _progress: 0.0), LinearAnnealing(steps=40).progress(falling))
    middles = pace.progress(falling)
    jumps = np.diff(middles)
    # before the fall and after it the steps are even, within it larger
    quick = (middles[1:] > 0.42) & (middles[1:] < 0.58)
    assert jumps[: np.argmax(quick)].max() < jumps[quick].max() / 1.3
    assert jumps[-1] < 1 / 40


def test_the_adaptive_pace_follows_the_documented_rule():
    seen: list[int] = []

    def watch(progress: np.ndarray) -> float:
        seen.append(progress.size)
        return [0.0, -1.0, -1.0, -1.0][progress.size - 1]

    middles = AdaptiveAnnealing(steps=5, rate=2.0, threshold=3.0).progress(watch)
    # even 1/5, even 1/5 (nothing fell), then 2/5 of the 3/5 left (1 fell in 1/5: speed 5), then even shares
    ends = np.array([0.2, 0.4, 0.64, 0.82, 1.0])
    np.testing.assert_allclose(middles, (ends + np.concatenate([[0.0], ends[:-1]])) / 2)
    assert seen == [1, 2, 3, 4]


def test_the_local_pace_lingers_where_the_pilot_fell():
    jumps = np.diff(LocalAnnealing(steps=40, exponent=1.0).progress(falling))
    middle, edges = jumps[15:25].mean(), np.concatenate([jumps[:5], jumps[-5:]]).mean()
    assert middle < edges / 3
    flat = LocalAnnealing(steps=12).progress(lambda _progress: 0.0)
    np.testing.assert_allclose(flat, LinearAnnealing(steps=12).progress(falling))


def test_the_local_pace_spends_equal_time_on_equal_falls():
    """With exponent 1 and a pilot that falls 3 in the first half and 1 in the second, 3/4 of the slices go first."""

    def watch(progress: np.ndarray) -> float:
        return -np.interp(progress.size, [0, 4, 8], [0.0, 3.0, 4.0])

    middles = LocalAnnealing(steps=8, exponent=1.0, watched=2).progress(watch)
    np.testing.assert_allclose(middles[:6], (np.arange(6) + 0.5) / 12)
    np.testing.assert_allclose(middles[6:], [0.625, 0.875])


def test_one_slice_is_enough_for_every_pace():
    for pace in (LinearAnnealing(1), ExponentialAnnealing(1), AdaptiveAnnealing(1), LocalAnnealing(1)):
        assert pace.progress(falling).shape == (1,)
        strings = QuantumAnneal(pace=pace)(model(3), np.random.default_rng(0))
        assert strings.shape[1] == 3


def test_angles_are_the_time_of_a_slice_shared_by_cost_and_mixer():
    space = space_of(circuit_cost(model(3)), max_bytes=MEMORY)
    first = QuantumAnneal(pace=LinearAnnealing(4, 8.0), field=0.5).schedule(space)
    np.testing.assert_allclose(first.gammas, [0.25, 0.75, 1.25, 1.75])
    np.testing.assert_allclose(first.betas, [0.875, 0.625, 0.375, 0.125])
    second = QuantumAnneal(pace=LinearAnnealing(4, 8.0), field=0.5, order=2).schedule(space)
    np.testing.assert_allclose(second.gammas, [0.125, 0.5, 1.0, 1.5])
    np.testing.assert_allclose(second.betas, first.betas)


def continuous(space_costs: np.ndarray, spins: int, time: float, field: float) -> np.ndarray:
    """Measurement probabilities after the anneal, in 4,000 exact exponentials of the whole Hamiltonian."""
    X = sum(np.kron(np.kron(np.eye(2**i), [[0, 1], [1, 0]]), np.eye(2 ** (spins - 1 - i))) for i in range(spins))
    state = np.full(2**spins, 2.0 ** (-spins / 2), dtype=complex)
    for s in (np.arange(4000) + 0.5) / 4000:
        state = expm(-1j * time / 4000 * (s * np.diag(space_costs) - (1 - s) * field * X)) @ state
    return np.abs(state) ** 2


def test_finer_slices_follow_the_continuous_anneal_and_the_second_order_does_so_sooner():
    space = space_of(circuit_cost(model(3, seed=2)), max_bytes=MEMORY)
    exact = continuous(space.costs, 3, 8.0, 0.6)
    errors = {}
    for order in (1, 2):
        for steps in (20, 40, 80):
            angles = QuantumAnneal(pace=LinearAnnealing(steps, 8.0), field=0.6, order=order).schedule(space)
            errors[order, steps] = np.abs(space.probabilities(angles.gammas, angles.betas) - exact).max()
    # twice the slices: half the error at first order, a quarter at second
    assert 1.7 < errors[1, 40] / errors[1, 80] < 2.4
    assert 3.4 < errors[2, 20] / errors[2, 40] < 4.8
    assert 3.4 < errors[2, 40] / errors[2, 80] < 4.8
    assert errors[2, 80] < errors[1, 80] / 5


def test_a_slower_anneal_is_likelier_to_end_in_the_optimum():
    """The adiabatic theorem, at equal time per slice."""
    ising = model(8, seed=3)
    space, best = space_of(circuit_cost(ising), max_bytes=MEMORY), int(np.argmin(diagonal(ising)))
    chances = []
    for steps in (5, 20, 80, 320):
        angles = QuantumAnneal(pace=LinearAnnealing(steps, 2.0 * steps)).schedule(space)
        chances.append(space.probabilities(angles.gammas, angles.betas)[best])
    assert chances == sorted(chances)
    assert chances[-1] > 0.95


def test_every_pace_beats_chance_by_far(pace: Pace):
    chances = []
    for seed in range(5):
        ising = model(10, seed)
        space = space_of(circuit_cost(ising), max_bytes=MEMORY)
        angles = QuantumAnneal(pace=pace).schedule(space)
        chances.append(space.probabilities(angles.gammas, angles.betas)[np.argmin(diagonal(ising))])
    assert np.median(chances) > 200 / 2**10


@pytest.mark.parametrize("spins", [0, 1, 2, 5, 9, 12])
def test_strings_are_distinct_best_first_and_hold_the_optimum(pace: Pace, spins: int):
    ising = model(spins)
    strings = QuantumAnneal(pace=pace)(ising, np.random.default_rng(1))
    energy = energies(ising, strings)
    assert strings.dtype == np.int8
    assert len({row.tobytes() for row in strings}) == len(strings)
    assert list(energy) == sorted(energy)
    assert energy[0] == pytest.approx(diagonal(ising).min())


def test_groups_keep_to_feasible_strings_and_find_the_best_of_them(pace: Pace):
    ising = model(12, seed=4, groups=((0, 5, 2), (3, 1), (7, 8, 9, 10)))
    strings = QuantumAnneal(pace=pace)(ising, np.random.default_rng(2))
    assert feasible(ising, strings).all()
    space = space_of(circuit_cost(ising), max_bytes=MEMORY)
    every = space.strings(np.arange(space.size))
    assert energies(ising, strings)[0] == pytest.approx(energies(ising, every).min())


def test_the_same_seed_gives_the_same_strings_and_the_generator_advances(pace: Pace):
    ising = model(9)
    first, second = (QuantumAnneal(pace=pace)(ising, np.random.default_rng(3)) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    flat, rng = Ising(np.zeros(12), np.zeros((12, 12))), np.random.default_rng(3)
    solver = QuantumAnneal(pace=pace)
    assert not np.array_equal(solver(flat, rng), solver(flat, rng))


def test_samples_follow_the_state():
    """A coin of two spins: the single shot of many seeds, against the probabilities."""
    ising = Ising(np.array([0.3, -0.1]), np.array([[0.0, 0.2], [0.0, 0.0]]))
    solver = QuantumAnneal(pace=LinearAnnealing(2, 2.0), shots=1)
    space = space_of(circuit_cost(ising), max_bytes=MEMORY)
    angles = solver.schedule(space)
    rng = np.random.default_rng(11)
    shots = [solver(ising, rng)[0] for _ in range(500)]
    seen = np.bincount([(s[0] < 0) + 2 * (s[1] < 0) for s in shots], minlength=4)
    assert chisquare(seen, 500 * space.probabilities(angles.gammas, angles.betas)).pvalue > 0.001


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
def test_unusual_models_have_an_optimum_too(pace: Pace, ising: Ising):
    strings = QuantumAnneal(pace=pace)(ising, np.random.default_rng(5))
    assert energies(ising, strings)[0] == pytest.approx(diagonal(ising).min())


def test_what_does_not_fit_is_refused_before_it_is_built():
    with pytest.raises(TooLarge, match="state of 60 spins"):
        QuantumAnneal()(model(60), np.random.default_rng(0))
    grouped = model(60, groups=tuple((2 * i, 2 * i + 1) for i in range(30)))
    with pytest.raises(TooLarge):
        QuantumAnneal()(grouped, np.random.default_rng(0))


def test_options_that_make_no_sense_are_refused():
    for bad in ({"shots": 0}, {"strings": 0}, {"max_bytes": 0}, {"field": 0.0}, {"field": np.nan}, {"order": 3}):
        with pytest.raises(ValueError, match="expected"):
            QuantumAnneal(**bad)
    with pytest.raises(ValueError, match=r"pace: expected one, .* got 3"):
        QuantumAnneal(pace=3)  # type: ignore[arg-type]
    for kind in (LinearAnnealing, ExponentialAnnealing, AdaptiveAnnealing, LocalAnnealing):
        for bad in ({"steps": 0}, {"time": 0.0}, {"time": np.inf}):
            with pytest.raises(ValueError, match="at least 1 step"):
                kind(**bad)
    with pytest.raises(ValueError, match="rate"):
        ExponentialAnnealing(rate=0.0)
    with pytest.raises(ValueError, match="threshold"):
        AdaptiveAnnealing(threshold=-1.0)
    with pytest.raises(ValueError, match="exponent"):
        LocalAnnealing(exponent=0.0)
