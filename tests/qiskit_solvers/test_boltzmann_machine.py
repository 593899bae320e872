"""A machine that learns: its distribution, its bound, its gradient."""

import numpy as np
import pytest
from scipy.linalg import expm

from qiskit_solvers import Ising, TooLarge, diagonal, energies, strings_of
from qiskit_solvers.boltzmann_machine import BoltzmannMachine, divergence, fitted


def model(spins: int, seed: int, scale: float = 0.5) -> Ising:
    rng = np.random.default_rng(seed)
    return Ising(scale * rng.normal(size=spins), scale * np.triu(rng.normal(size=(spins, spins)), 1))


def every(spins: int) -> np.ndarray:
    return strings_of(np.arange(2**spins), spins)


@pytest.mark.parametrize("field", [0.0, 0.8])
def test_the_machine_is_the_marginal_of_the_thermal_state(field: float):
    ising = model(4, 3)
    H = np.diag(diagonal(ising))
    for spin in range(4):
        H = H - field * np.kron(np.kron(np.eye(2 ** (3 - spin)), [[0, 1], [1, 0]]), np.eye(2**spin))
    thermal = np.diag(expm(-H)) / np.trace(expm(-H))
    np.testing.assert_allclose(BoltzmannMachine(ising, field, 4).probabilities(), thermal, atol=1e-12)
    np.testing.assert_allclose(BoltzmannMachine(ising, field, 3).probabilities(), thermal[:8] + thermal[8:], atol=1e-12)


def test_without_a_field_the_model_behind_the_data_is_found_again(rng: np.random.Generator):
    truth = model(4, 5)
    weights = BoltzmannMachine(truth, 0.0, 4).probabilities()
    found = fitted(every(4), field=0.0, rng=rng, weights=weights, penalty=0.0)
    np.testing.assert_allclose(found.machine.ising.h, truth.h, atol=1e-3)
    np.testing.assert_allclose(found.machine.ising.J, truth.J, atol=1e-3)
    assert found.divergence == pytest.approx(0.0, abs=1e-6)
    assert found.bounds[-1] == pytest.approx(found.divergence, abs=1e-9)


@pytest.mark.parametrize(("field", "hidden"), [(0.0, 0), (0.0, 2), (0.5, 0), (0.5, 2), (1.5, 1)])
def test_training_lowers_the_bound_and_the_divergence_stays_under_it(field: float, hidden: int):
    """A distribution of three spins that no pair coupling makes: even parity, twice as likely in the middle."""
    weights = np.array([1.0, 0.0, 0.0, 2.0, 0.0, 2.0, 1.0, 0.0])
    found = fitted(every(3), field=field, rng=np.random.default_rng(1), weights=weights, hidden=hidden)
    assert found.bounds[-1] < 0.9 * found.bounds[0]
    assert 0.0 <= found.divergence <= found.bounds[-1] + 1e-9
    uniform = divergence(weights / weights.sum(), np.full(8, 1 / 8))
    assert found.divergence < uniform


def test_hidden_spins_learn_what_pairs_cannot():
    weights = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0])  # even parity
    reached = {
        hidden: min(
            fitted(every(3), field=0.0, rng=np.random.default_rng(seed), weights=weights, hidden=hidden).divergence
            for seed in range(4)
        )
        for hidden in (0, 3)
    }
    assert reached[0] == pytest.approx(np.log(2), abs=0.01)  # uniform is the best that pairs can do
    assert reached[3] < 0.1


def test_the_trained_machine_cannot_be_bettered_nearby(rng: np.random.Generator):
    """Where the gradient vanishes, small steps in any direction raise the bound: computed another way."""
    data = BoltzmannMachine(model(3, 8), 0.4, 3).probabilities()
    found = fitted(every(3), field=0.6, rng=rng, weights=data, penalty=0.0).machine.ising

    def bound(ising: Ising) -> float:
        H = np.diag(diagonal(ising))
        for spin in range(3):
            H = H - 0.6 * np.kron(np.kron(np.eye(2 ** (2 - spin)), [[0, 1], [1, 0]]), np.eye(2**spin))
        return float(data @ energies(ising, every(3)) + np.log(np.trace(expm(-H))))

    best = bound(found)
    for _ in range(20):
        h, J = 0.02 * rng.normal(size=3), 0.02 * np.triu(rng.normal(size=(3, 3)), 1)
        assert bound(Ising(found.h + h, found.J + J)) > best


def test_samples_teach_as_weights_do():
    counts = np.array([5, 1, 2, 4])
    repeated = fitted(np.repeat(every(2), counts, axis=0), field=0.3, rng=np.random.default_rng(2))
    weighted = fitted(every(2), field=0.3, rng=np.random.default_rng(2), weights=counts / 12.0)
    np.testing.assert_allclose(repeated.machine.ising.h, weighted.machine.ising.h, atol=1e-6)
    assert repeated.bounds == pytest.approx(weighted.bounds)


def test_the_same_seed_gives_the_same_machine():
    first, second = (fitted(every(2)[:3], field=0.3, rng=np.random.default_rng(2), hidden=1) for _ in range(2))
    assert first.machine.ising.h.tobytes() == second.machine.ising.h.tobytes()


def test_a_string_that_is_missing_does_not_drive_couplings_to_infinity():
    found = fitted(np.array([[1, -1]], dtype=np.int8), field=0.0, rng=np.random.default_rng(0))
    assert np.abs(found.machine.ising.h).max() < 10.0
    assert found.divergence < 0.01


@pytest.mark.parametrize(
    ("strings", "options", "message"),
    [
        (np.zeros((0, 3), dtype=np.int8), {}, "at least one"),
        (np.ones(3, dtype=np.int8), {}, "shape"),
        (np.array([[1, 0]], dtype=np.int8), {}, "entries"),
        (np.ones((2, 2), dtype=np.int8), {"weights": np.array([1.0])}, "weights"),
        (np.ones((2, 2), dtype=np.int8), {"weights": np.array([0.0, 0.0])}, "weights"),
        (np.ones((2, 2), dtype=np.int8), {"weights": np.array([1.0, -1.0])}, "weights"),
        (np.ones((2, 2), dtype=np.int8), {"weights": np.array([1.0, np.nan])}, "weights"),
        (np.ones((2, 2), dtype=np.int8), {"hidden": -1}, "hidden"),
        (np.ones((2, 2), dtype=np.int8), {"penalty": np.inf}, "penalty"),
        (np.ones((2, 2), dtype=np.int8), {"field": -1.0}, "field"),
    ],
)
def test_data_and_options_that_make_no_sense_are_refused(strings: np.ndarray, options: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        fitted(strings, **{"field": 0.1, "rng": np.random.default_rng(0), **options})


def test_machines_that_cannot_be_are_refused():
    with pytest.raises(TooLarge, match="at most 8 spins, got 9"):
        fitted(np.ones((1, 5), dtype=np.int8), field=0.1, rng=np.random.default_rng(0), hidden=4)
    with pytest.raises(TooLarge, match="at most 8 spins, got 40"):
        fitted(np.ones((1, 40), dtype=np.int8), field=0.1, rng=np.random.default_rng(0))
    with pytest.raises(TooLarge, match="at most 8 spins, got 9"):
        BoltzmannMachine(model(9, 0), 0.1, 3)
    with pytest.raises(ValueError, match="visible"):
        BoltzmannMachine(model(3, 0), 0.1, 4)
    with pytest.raises(ValueError, match="field"):
        BoltzmannMachine(model(3, 0), np.nan, 3)
    with pytest.raises(ValueError, match="groups"):
        BoltzmannMachine(Ising(np.zeros(2), np.zeros((2, 2)), groups=((0, 1),)), 0.1, 2)
    with pytest.raises(ValueError, match="equal shapes"):
        divergence(np.ones(2) / 2, np.ones(3) / 3)


def test_what_the_model_excludes_is_infinitely_far():
    assert divergence(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == np.inf
    assert divergence(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(np.log(2))
