"""The Monte Carlo of lost channels, against sensitivities known in closed form."""

import numpy as np
import pytest

from qiskit_solvers.variational.autoencoder import Training, encode
from tasks.codecs.channel_dropout import Dropout, Sensitivity, matrix_error, pruned, qubit_error


def test_effects_that_add_up_are_found_exactly():
    effects = np.array([0.0, 0.5, -0.25, 2.0])
    found = Dropout(samples=60)(lambda off: 0.1 + float(effects @ off), 4, np.random.default_rng(0))
    np.testing.assert_allclose(found.effect, effects, atol=1e-12)
    np.testing.assert_allclose(found.high - found.low, 0.0, atol=1e-10)
    assert found.baseline == pytest.approx(0.1)
    assert found.explained == pytest.approx(1.0)
    assert found.evaluations == 60


def test_intervals_hold_for_all_channels_at_once():
    effects = np.geomspace(0.01, 1.0, 8)
    noise = np.random.default_rng(1)

    def error(off: np.ndarray) -> float:
        return float(effects @ off) * (1.0 + 0.3 * noise.normal()) + 0.05 * noise.normal()  # of unequal spread

    covered = 0
    for seed in range(40):
        found = Dropout(samples=200, confidence=0.9)(error, 8, np.random.default_rng(seed))
        covered += bool(((found.low <= effects) & (effects <= found.high)).all())
    assert covered >= 32  # 36 expected; 31 or fewer have a chance of 1.6 %


def test_inputs_that_are_independent_have_the_share_of_their_column():
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(20, 6)) * np.array([1.0, 0.0, 0.1, 2.0, 0.5, 0.01])
    inputs = np.linalg.qr(rng.normal(size=(50, 6)))[0]
    shares = (matrix**2).sum(axis=0) / (matrix**2).sum()
    found = Dropout(samples=60)(matrix_error(matrix, inputs), 6, rng)
    np.testing.assert_allclose(found.effect, shares, atol=1e-12)
    dropped = pruned(found, shares[1] + shares[5] + 1e-9)
    assert dropped == (1, 5)
    off = np.isin(np.arange(6), dropped)
    assert matrix_error(matrix, inputs)(off) == pytest.approx(shares[dropped,].sum())


def test_the_error_of_a_matrix_is_that_of_its_outputs():
    rng = np.random.default_rng(3)
    matrix, inputs = rng.normal(size=(4, 5)), rng.normal(size=(30, 5)) @ rng.normal(size=(5, 5))
    off = np.array([True, False, True, True, False])
    outputs, rest = inputs @ matrix.T, inputs @ np.where(off, 0.0, matrix).T
    expected = ((outputs - rest) ** 2).sum() / (outputs**2).sum()
    assert matrix_error(matrix, inputs)(off) == pytest.approx(expected)


def test_qubits_that_hold_nothing_narrow_the_circuit():
    rng = np.random.default_rng(4)
    vectors = np.zeros((60, 8))
    vectors[:, :2] = rng.normal(size=(60, 2))
    trained = Training(layers=3)(vectors + 0.01 * rng.normal(size=vectors.shape), 1, rng)
    error = qubit_error(trained.angles, vectors)
    found = Dropout(rate=0.5, samples=200)(error, 3, rng)
    dropped = pruned(found, 0.05)
    assert dropped == (1, 2)
    latent = encode(trained.angles, vectors, (0,))
    lost = 1.0 - float(latent.norms**2 @ latent.fidelities) / float((vectors**2).sum())
    assert error(np.array([False, True, True])) == pytest.approx(lost)
    assert lost < 0.05


def test_losing_qubits_after_every_layer_costs_no_less_than_losing_nothing():
    rng = np.random.default_rng(5)
    angles, vectors = rng.normal(size=(3, 3, 3)), rng.normal(size=(20, 8))
    error = qubit_error(angles, vectors, every_layer=True)
    assert error(np.zeros(3, dtype=bool)) == pytest.approx(0.0, abs=1e-12)
    assert error(np.ones(3, dtype=bool)) > 0.3


def test_no_channel_is_pruned_on_a_guess():
    unsure = Sensitivity(np.zeros(2), np.full(2, -1.0), np.full(2, 1.0), 0.0, 0.1, 10)
    assert pruned(unsure, 0.5) == ()


def test_what_does_not_fit_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="at least 33 for 10 channels, got 32"):
        Dropout(samples=32)(lambda _off: 0.0, 10, rng)
    with pytest.raises(ValueError, match="error: expected finite"):
        Dropout()(lambda _off: np.nan, 2, rng)
    with pytest.raises(ValueError, match="rate"):
        Dropout(rate=1.0)
    with pytest.raises(ValueError, match="inputs: expected shape"):
        matrix_error(np.ones((2, 3)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="not all 0"):
        matrix_error(np.zeros((2, 3)), np.ones((4, 3)))
