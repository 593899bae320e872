"""The circuit that moves what matters into few qubits, against principal directions and dense algebra."""

import numpy as np
import pytest

from qiskit_solvers.variational.autoencoder import Training, decode, encode, kept_indices, pruned, qubit_variances
from qiskit_solvers.variational.entangling_layers import applied


def hidden(kept: int, qubits: int, *, noise: float = 0.0) -> np.ndarray:
    """Vectors whose energy a circuit of two layers moves into ``kept`` qubits, but for noise."""
    rng = np.random.default_rng([kept, qubits])
    angles = rng.normal(size=(2, qubits, 3))
    angles[..., (0, 2)] = 0.0
    latent = np.zeros((2**qubits, 100))
    latent[: 2**kept] = rng.normal(size=(2**kept, 100))
    vectors = applied(angles, latent, inverse=True).real.T
    return vectors + noise * rng.normal(size=vectors.shape)


def test_a_hidden_circuit_is_found():
    trained = Training(layers=2, starts=6)(hidden(1, 3), 1, np.random.default_rng(0))
    assert trained.loss < 1e-6
    assert trained.floor < 1e-12


@pytest.mark.parametrize("rotations", ["real", "all"])
@pytest.mark.parametrize("kept", [None, 0, 1, 3])
def test_no_circuit_loses_less_than_the_principal_directions(rotations: str, kept: int | None):
    vectors = np.random.default_rng(1).normal(size=(40, 16)) * np.geomspace(1.0, 0.01, 16)
    trained = Training(layers=3, rotations=rotations, starts=1)(vectors, kept, np.random.default_rng(2))
    assert trained.floor <= trained.loss < 1.0
    assert trained.loss == pytest.approx(min(trained.losses), abs=1e-12)
    spectrum = np.linalg.svd(vectors, compute_uv=False) ** 2
    widths = (1, 2, 3) if kept is None else (kept,)
    left = [spectrum[2**width :].sum() / spectrum.sum() for width in widths]
    assert trained.floor == pytest.approx(np.mean(left))


def test_the_loss_is_the_energy_that_the_decoder_does_not_give_back():
    vectors = hidden(2, 4, noise=0.1)
    vectors[7] = 0.0
    trained = Training(layers=3, rotations="all")(vectors, 2, np.random.default_rng(3))
    latent = encode(trained.angles, vectors, (0, 1))
    restored = decode(trained.angles, latent.amplitudes, latent.norms, (0, 1))
    lost = (np.abs(vectors - restored) ** 2).sum() / (vectors**2).sum()
    assert lost == pytest.approx(trained.loss)
    weights = latent.norms**2 / (latent.norms**2).sum()
    assert 1.0 - weights @ latent.fidelities == pytest.approx(trained.loss)
    assert latent.fidelities[7] == 1.0
    assert not restored[7].any()


def test_all_qubits_give_everything_back():
    vectors = hidden(3, 3)
    angles = np.random.default_rng(4).normal(size=(5, 3, 3))
    latent = encode(angles, vectors, range(3))
    np.testing.assert_allclose(decode(angles, latent.amplitudes, latent.norms, range(3)), vectors, atol=1e-12)


def test_qubits_that_do_not_vary_are_pruned_unless_they_read_one():
    rng = np.random.default_rng(5)
    vectors = np.zeros((50, 8))
    vectors[:, [0b100, 0b101]] = rng.normal(size=(50, 2))  # qubit 0 varies, qubit 1 reads 0, qubit 2 reads 1
    still = np.zeros((1, 3, 3))
    ring = applied(still, vectors.T, inverse=True).real.T  # undo the ring of controlled NOTs beforehand
    variances = qubit_variances(still, ring)
    assert variances[0] > 0.5
    np.testing.assert_allclose(variances[1:], 0.0, atol=1e-12)
    assert pruned(still, ring, 0.1) == (0, 2)
    assert encode(still, ring, (0, 2)).fidelities == pytest.approx(1.0)
    assert encode(still, ring, (0, 1)).fidelities == pytest.approx(0.0)


def test_training_is_a_function_of_its_seed():
    vectors = hidden(1, 3, noise=0.2)
    one, other = (Training(layers=1)(vectors, 1, np.random.default_rng(6)) for _ in range(2))
    assert one.angles.tobytes() == other.angles.tobytes()
    assert Training(layers=1)(1e200 * vectors, 1, np.random.default_rng(6)).loss == pytest.approx(one.loss)


def test_what_does_not_fit_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"vectors: expected shape \(vectors, 2\*\*qubits\), got \(2, 3\)"):
        Training()(np.ones((2, 3)), 1, rng)
    with pytest.raises(ValueError, match="kept: expected 0 to 1 of 2 qubits, got 2"):
        Training()(np.ones((2, 4)), 2, rng)
    with pytest.raises(ValueError, match="kept: expected"):
        Training()(np.ones((2, 2)), None, rng)
    with pytest.raises(ValueError, match="only zeros"):
        Training()(np.zeros((2, 4)), 1, rng)
    with pytest.raises(ValueError, match="vectors: expected finite"):
        Training()(np.full((2, 4), np.nan), 1, rng)
    with pytest.raises(ValueError, match="rotations"):
        Training(rotations="some")
    with pytest.raises(ValueError, match="counts"):
        Training(layers=0)
    with pytest.raises(ValueError, match="retained: expected qubits of 0 to 2"):
        kept_indices(3, (1, 3))
    with pytest.raises(ValueError, match=r"amplitudes: expected shape \(1, 4\)"):
        decode(np.zeros((1, 3, 3)), np.ones((1, 2)), np.ones(1), (0, 1))
    with pytest.raises(ValueError, match="threshold"):
        pruned(np.zeros((1, 2, 3)), np.ones((1, 4)), 2.0)
