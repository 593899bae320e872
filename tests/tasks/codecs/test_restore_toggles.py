"""Toggles give what numpy gives, stay within the archive's error, and say where they did not take part."""

from pathlib import Path

import numpy as np
import pytest

from qiskit_solvers import TooLarge
from tasks.codecs.archive import open_archive
from tasks.codecs.arrays import tensor_of
from tasks.codecs.index import Source
from tasks.codecs.lossy import policy
from tasks.codecs.presets import COMPRESS, RESTORE, denoised, grid_of
from tasks.codecs.residual_lstm import Pair, ResidualTraining, residual_table, with_table
from tasks.codecs.restore_toggles import Refined, Toggles, decoder_by_hhl, noise_threshold, restored
from tasks.codecs.transformed_blocks import linear_decoder
from tasks.codecs.transformed_trial import TransformTrial
from tasks.codecs.treatment import Policy, Treatment
from tasks.codecs.writer import write_archive

X = np.linspace(0.0, 1.0, 32)
SMOOTH = (np.sin(9.0 * X[:, None]) * np.exp(-3.0 * X) + 1.0 / (1.0 + X[:, None] + X)).astype(np.float32)
RNG = np.random.default_rng(0)
LOW_RANK = (RNG.normal(size=(32, 2)) @ RNG.normal(size=(2, 32))).astype(np.float32)
WIDE = (RNG.normal(size=(40, 2)) @ RNG.normal(size=(2, 48))).astype(np.float32)


def relative(original: np.ndarray, found: np.ndarray) -> float:
    return float(np.linalg.norm(original - found) / np.linalg.norm(original))


def through(folder: Path, array: np.ndarray, packing: Policy, *wanted: Toggles) -> list[Refined]:
    path = folder / "w.qfz"
    with path.open("wb") as file:
        write_archive(file, Source("arrays", "0" * 64, array.nbytes), b"", [tensor_of("w", array)], policy=packing)
    with open_archive(path) as archive:
        return [restored(archive, archive.tensor("w"), toggles) for toggles in wanted]


def transformed(array: np.ndarray, transform: str, bound: float) -> Policy:
    whole = TransformTrial(policy(f"rms:{bound}"), bound, transform).tried(tensor_of("w", array)).transformed
    assert whole is not None
    return lambda _tensor, _base: Treatment(whole, bound=("relative_rms", bound))


def test_hhl_undoes_a_linear_code_as_numpy_does(tmp_path: Path):
    classical, ours = through(tmp_path, SMOOTH, transformed(SMOOTH, "linear", 0.05), Toggles(), Toggles(hhl=True))
    assert not ours.fallbacks
    assert "condition" in ours.notes[0]
    assert relative(classical.values, ours.values) < 0.03
    assert relative(SMOOTH, classical.values) <= 0.05


@pytest.mark.slow
def test_hhl_inverts_an_encoder_whose_rows_differ_in_length():
    encoder = np.diag([1.0, 1.5, 1.2, 2.0]) @ np.linalg.qr(np.random.default_rng(1).normal(size=(8, 4)))[0].T
    found = decoder_by_hhl(encoder)
    np.testing.assert_allclose(found.decoder, linear_decoder(encoder), atol=5e-3)
    assert found.condition == pytest.approx(np.linalg.cond(encoder @ encoder.T))
    assert 0.0 < found.success_probability < 1.0
    with pytest.raises(TooLarge, match="at most 16 latents"):
        decoder_by_hhl(np.eye(17))


def test_the_quantum_fourier_transform_undoes_frequencies_exactly(tmp_path: Path):
    classical, ours = through(tmp_path, SMOOTH, transformed(SMOOTH, "fourier", 0.05), Toggles(), Toggles(qft=True))
    assert not ours.fallbacks
    np.testing.assert_allclose(ours.values, classical.values, atol=1e-6)


@pytest.mark.slow
def test_the_spectral_refiner_brings_a_low_rank_matrix_nearer_to_what_it_was(tmp_path: Path):
    classical, ours = through(tmp_path, LOW_RANK, policy("rms:0.1"), Toggles(), Toggles(qsvt=True))
    assert not ours.fallbacks
    assert relative(LOW_RANK, ours.values) < 0.6 * relative(LOW_RANK, classical.values)


def test_what_is_too_wide_for_the_circuit_is_refined_by_numpy(tmp_path: Path):
    classical, ours = through(tmp_path, WIDE, policy("rms:0.1"), Toggles(), Toggles(qsvt=True))
    assert ours.fallbacks[0].used == "singular values by numpy"
    assert "at most 32 rows" in ours.fallbacks[0].reason
    assert relative(WIDE, ours.values) < 0.6 * relative(WIDE, classical.values)


@pytest.mark.parametrize("bound", [0.25, 0.4])
def test_no_toggle_moves_an_element_further_than_the_archive_s_error(bound: float, tmp_path: Path):
    lstm = ResidualTraining(epochs=1)([Pair(SMOOTH, SMOOTH + 0.1, 0.1)], np.random.default_rng(0))
    classical, ours = through(tmp_path, LOW_RANK, policy(f"rms:{bound}"), Toggles(), Toggles(qsvt=True, lstm=lstm))
    greatest = float(np.abs(classical.values - LOW_RANK).max())
    assert np.abs(ours.values - classical.values).max() <= greatest * (1.0 + 1e-6)
    assert np.abs(ours.values - classical.values).max() > 0.0


def test_toggles_with_nothing_to_do_leave_the_tensor_and_say_so(tmp_path: Path):
    lstm = ResidualTraining(epochs=1)([Pair(SMOOTH, SMOOTH + 0.1, 0.1)], np.random.default_rng(0))
    (ours,) = through(tmp_path, LOW_RANK, policy("exact"), Toggles(hhl=True, qft=True, qsvt=True, lstm=lstm))
    np.testing.assert_array_equal(ours.values, LOW_RANK)
    assert [fallback.wanted for fallback in ours.fallbacks] == ["hhl", "qft", "qsvt", "lstm"]
    assert {fallback.used for fallback in ours.fallbacks} == {"the recorded chain"}
    assert not ours.notes
    even = np.linalg.qr(np.random.default_rng(2).normal(size=(32, 32)))[0].astype(np.float32)
    (white,) = through(tmp_path, even, policy("rms:0.01"), Toggles(qsvt=True))
    assert "every singular value" in white.fallbacks[0].reason


def test_the_threshold_is_the_published_one():
    """4 / sqrt(3) for a square matrix (Gavish and Donoho 2014)."""
    assert noise_threshold((100, 100), 0.5) == pytest.approx(4.0 / np.sqrt(3.0) * np.sqrt(100) * 0.5)


def test_an_enhancer_learns_a_shift_and_is_the_same_for_the_same_seed():
    rng = np.random.default_rng(1)
    original = rng.normal(size=(64, 64))
    pair = Pair(original, original - 0.05, 0.1)
    one, other = (ResidualTraining(epochs=30, learning_rate=0.03)([pair], np.random.default_rng(7)) for _ in range(2))
    assert one.losses[-1] < 0.1 * one.losses[0]
    fresh = rng.normal(size=(30, 7))
    np.testing.assert_array_equal(one(fresh - 0.05, 0.1), other(fresh - 0.05, 0.1))
    assert relative(fresh, one(fresh - 0.05, 0.1)) < 0.5 * relative(fresh, fresh - 0.05)
    assert one.stored_bytes == 4 * sum(array.size for array in one.weights.values())
    np.testing.assert_allclose(with_table(residual_table([pair]), original - 0.05, 0.1), original, atol=1e-6)


def test_pairs_that_are_none_are_refused():
    with pytest.raises(ValueError, match="shape"):
        Pair(SMOOTH, LOW_RANK[:3], 0.1)
    with pytest.raises(ValueError, match="above 0"):
        Pair(SMOOTH, SMOOTH, 0.0)
    with pytest.raises(ValueError, match="finite"):
        Pair(SMOOTH, SMOOTH * np.nan, 0.1)
    with pytest.raises(ValueError, match="at least one"):
        ResidualTraining()([], np.random.default_rng(0))
    with pytest.raises(ValueError, match="above 0"):
        ResidualTraining(hidden=0)


@pytest.mark.parametrize("name", COMPRESS)
def test_no_preset_is_larger_than_the_classical_chain(name: str, tmp_path: Path):
    sizes = []
    for packing in (policy("rms:0.05"), COMPRESS[name].policy(0.05, seed=1)):
        path = tmp_path / "one.qfz"
        with path.open("wb") as file:
            tensor = tensor_of("w", SMOOTH)
            write_archive(file, Source("arrays", "0" * 64, SMOOTH.nbytes), b"", [tensor], policy=packing)
        sizes.append(path.stat().st_size)
        with open_archive(path) as archive:
            stored = archive.tensor("w")
            assert relative(SMOOTH, restored(archive, stored, Toggles()).values) <= 0.05
            grid = grid_of(archive, stored)
            if grid is not None:
                assert np.abs(grid.values - SMOOTH).max() <= grid.steps.max() * 0.51
                changed = denoised(archive, stored, lambda given: given.values)
                np.testing.assert_array_equal(changed, grid.values)
    assert sizes[1] <= sizes[0]


def test_presets_for_restoring_are_the_toggles_of_the_description():
    found = {name: (preset.hhl, preset.qsvt, preset.lstm) for name, preset in RESTORE.items()}
    assert found == {
        "sparse-activations": (True, True, False),
        "dense-weights": (False, False, True),
        "quantized-embeddings": (False, False, False),
        "high-noise": (False, True, True),
    }
    with pytest.raises(ValueError, match="trained enhancer"):
        RESTORE["dense-weights"].toggles(None)
