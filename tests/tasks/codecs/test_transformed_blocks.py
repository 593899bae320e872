"""Blocks come back from their latents, within the bound, whatever the bytes."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.schemas.tensor import Tensor
from tasks.codecs.alone import archive_bytes
from tasks.codecs.archive import open_archive
from tasks.codecs.arrays import tensor_of
from tasks.codecs.index import Source
from tasks.codecs.lossy import policy
from tasks.codecs.transformed_blocks import TransformedBlocks, frequencies, linear_decoder, spectrum
from tasks.codecs.transformed_trial import TransformTrial
from tasks.codecs.treatment import Treatment, Whole
from tasks.codecs.writer import write_archive

X = np.linspace(0.0, 1.0, 64)
SMOOTH = (np.sin(9.0 * X[:, None]) * np.exp(-3.0 * X) + 1.0 / (1.0 + X[:, None] + X)).astype(np.float32)
WHITE = np.random.default_rng(3).normal(size=(64, 64)).astype(np.float32)
SPARSE = (WHITE * (np.arange(64) % 3 == 0)).astype(np.float32)


def relative(original: np.ndarray, restored: np.ndarray) -> float:
    wide = original.astype(np.float64)
    return float(np.sqrt(((wide - restored) ** 2).sum() / (wide**2).sum()))


def made(array: np.ndarray, transform: str, bound: float = 0.05) -> Whole:
    trial = TransformTrial(policy(f"rms:{bound}"), bound, transform).tried(tensor_of("w", array))
    assert trial.transformed is not None
    return trial.transformed


@pytest.mark.parametrize("transform", ["kept", "linear", "fourier"])
@pytest.mark.parametrize("array", [SMOOTH, WHITE, SPARSE, SMOOTH.astype(np.float16), WHITE.astype(np.float64)[:, :33]])
def test_an_archive_gives_back_the_tensor_within_the_bound(transform: str, array: np.ndarray, tmp_path: Path):
    whole = made(array, transform)
    path = tmp_path / "w.qfz"
    with path.open("wb") as file:
        write_archive(
            file,
            Source("arrays", "0" * 64, array.nbytes),
            b"",
            [tensor_of("w", array)],
            policy=lambda _tensor, _base: Treatment(whole, bound=("relative_rms", 0.05)),
        )
    with open_archive(path) as archive:
        stored = archive.tensor("w")
        restored = np.frombuffer(bytes(archive.read(stored)), dtype=array.dtype).reshape(array.shape)
        assert stored.error is not None
        assert relative(array, restored) == pytest.approx(stored.error.relative_rms, rel=1e-6)
    assert relative(array, restored) <= 0.05


def test_what_has_structure_wins_and_white_noise_does_not():
    classical = policy("rms:0.02")
    smooth = TransformTrial(classical, 0.02, "linear").tried(tensor_of("smooth", SMOOTH))
    assert smooth.transformed_bytes < 0.5 * smooth.classical_bytes
    assert archive_bytes(tensor_of("smooth", SMOOTH), smooth.treatment) == smooth.transformed_bytes
    sparse = TransformTrial(classical, 0.02, "kept").tried(tensor_of("sparse", SPARSE))
    assert sparse.transformed is not None
    assert isinstance(sparse.transformed.recipe, TransformedBlocks)
    assert sparse.transformed.recipe.latents == 22
    white = TransformTrial(classical, 0.02, "linear").tried(tensor_of("white", WHITE))
    assert not isinstance(white.treatment.form, Whole)


@settings(max_examples=15, deadline=None)
@given(blocks=st.integers(1, 5), power=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_frequencies_keep_lengths_and_come_back(blocks: int, power: int, seed: int):
    found = np.random.default_rng(seed).normal(size=(blocks, 2**power))
    latents = frequencies(found)
    np.testing.assert_allclose((latents**2).sum(axis=0), (found**2).sum(axis=1))
    np.testing.assert_allclose(np.fft.irfft(spectrum(latents, 2**power), axis=0).T, found, atol=1e-12)


def test_a_decoder_inverts_its_encoder():
    encoder = np.random.default_rng(0).normal(size=(3, 8))
    np.testing.assert_allclose(linear_decoder(encoder) @ encoder.T, np.eye(3), atol=1e-12)
    with pytest.raises(ValueError, match="independent"):
        linear_decoder(np.zeros((2, 4)))


@pytest.mark.parametrize("transform", ["kept", "linear", "fourier"])
def test_damaged_content_is_refused_or_another_tensor_of_the_same_size(transform: str):
    whole = made(SMOOTH, transform)
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(150):
        content = whole.content.copy()
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        try:
            assert whole.recipe.rebuild(content, SMOOTH.nbytes).nbytes == SMOOTH.nbytes
        except ValueError:
            refused += 1
    for length in range(0, len(whole.content) - 1, 37):
        with pytest.raises(ValueError, match="expected"):
            whole.recipe.rebuild(whole.content[:length], SMOOTH.nbytes)
    assert refused > 0


def test_a_recipe_that_contradicts_itself_is_refused():
    whole = made(SMOOTH, "fourier")
    recipe = whole.recipe
    assert isinstance(recipe, TransformedBlocks)
    for wrong in (replace(recipe, length=33), replace(recipe, latents=33), replace(recipe, transform="linear")):
        with pytest.raises(ValueError, match="expected"):
            wrong.rebuild(whole.content, SMOOTH.nbytes)
    with pytest.raises(ValueError, match="expected"):
        recipe.rebuild(whole.content, SMOOTH.nbytes + 1)
    assert np.isinf(np.frombuffer(replace(recipe, step=1e300).rebuild(whole.content, SMOOTH.nbytes), "<f4")).any()


@pytest.mark.parametrize(
    "array", [np.zeros((8, 8), np.float32), np.arange(64), np.full((8, 8), np.nan), np.float32(1.0)]
)
def test_tensors_that_no_transform_takes_stay_with_the_classical_chain(array: np.ndarray):
    tensor: Tensor = tensor_of("w", np.asarray(array))
    trial = TransformTrial(policy("rms:0.1"), 0.1, "linear").tried(tensor)
    assert trial.transformed is None
    assert archive_bytes(tensor, trial.treatment) == trial.classical_bytes


@pytest.mark.parametrize(("bound", "length"), [(0.0, 32), (1.0, 32), (0.1, 1), (0.1, 48)])
def test_options_out_of_range_are_refused(bound: float, length: int):
    with pytest.raises(ValueError, match="expected"):
        TransformTrial(policy("exact"), bound, "fourier", length)


def test_the_same_tensor_gives_the_same_archive():
    files = []
    for _ in range(2):
        file = io.BytesIO()
        trial = TransformTrial(policy("rms:0.05"), 0.05, "kept", seed=4)
        write_archive(file, Source("arrays", "0" * 64, SPARSE.nbytes), b"", [tensor_of("s", SPARSE)], policy=trial)
        files.append(file.getvalue())
    assert files[0] == files[1]
