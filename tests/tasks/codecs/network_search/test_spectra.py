"""Are the spectra those of the tensor itself, however its modes are split and joined?"""

import numpy as np
import pytest

from data.generators import fields
from tasks.codecs.network_search.sampled import sampled
from tasks.codecs.network_search.spectra import Spectra, compressed


@pytest.fixture
def tensor() -> np.ndarray:
    return fields.coulomb((8, 12, 4)).astype(np.float64)


def dense(tensor: np.ndarray, splits: tuple[tuple[int, ...], ...], subset: int) -> np.ndarray:
    """Return the squared singular values by a decomposition of the whole matrix."""
    modes = [factor for factors in splits for factor in factors]
    rows = [mode for mode in range(len(modes)) if subset >> mode & 1]
    columns = [mode for mode in range(len(modes)) if not subset >> mode & 1]
    height = int(np.prod([modes[mode] for mode in rows]))
    matrix = tensor.reshape(modes).transpose(rows + columns).reshape(height, -1)
    return np.linalg.svd(matrix, compute_uv=False) ** 2 / np.vdot(tensor, tensor)


@pytest.mark.parametrize("splits", [((8,), (12,), (4,)), ((2, 2, 2), (3, 2, 2), (2, 2))])
def test_every_bipartition_has_the_singular_values_of_its_matrix(tensor, splits) -> None:
    spectra = Spectra(compressed(tensor, 1e-7), splits, 1e-7)
    for subset in range(1, (1 << len(spectra.modes)) - 1):
        exact, found = dense(tensor, splits, subset), spectra.squares(subset)
        size = min(exact.size, found.size)
        assert np.allclose(exact[:size], found[:size], atol=1e-11)
        assert exact[size:].sum() < 1e-11
        assert found[size:].sum() < 1e-11


def test_a_set_and_its_complement_are_one_spectrum(tensor) -> None:
    spectra = Spectra(compressed(tensor, 1e-6), ((8,), (12,), (4,)), 1e-6)
    assert spectra.squares(0b001) is spectra.squares(0b110)
    assert spectra.computed == 1


def test_what_compression_leaves_out_is_missing_from_the_sum() -> None:
    noise = np.random.default_rng(3).normal(size=(8, 8, 8))
    spectra = Spectra(compressed(noise, 0.5), ((8,), (8,), (8,)), 0.5)
    missing = 1.0 - spectra.squares(1).sum()
    assert 0.0 < missing <= 0.5**2


@pytest.mark.parametrize("bad", [np.zeros((2, 2)), np.full((2, 2), np.nan), np.full((2, 2), np.inf)])
def test_a_tensor_of_nothing_or_not_finite_is_refused(bad) -> None:
    with pytest.raises(ValueError, match="finite elements, not all zero"):
        compressed(bad, 0.1)


def test_splits_that_do_not_fit_are_refused(tensor) -> None:
    with pytest.raises(ValueError, match="expected factors of"):
        Spectra(compressed(tensor, 1e-3), ((2, 2), (12,), (4,)), 1e-3)


def test_a_tensor_known_by_its_elements_has_the_spectra_of_the_whole() -> None:
    whole = fields.hilbert((16, 12, 10)).astype(np.float64)
    few = sampled(lambda at: 1.0 / (at.sum(axis=1) + 1.0), whole.shape, 1e-6, np.random.default_rng(0), 60)
    splits = tuple((length,) for length in whole.shape)
    found, exact = Spectra(few, splits, 1e-6), Spectra(compressed(whole, 1e-7), splits, 1e-7)
    for subset in (1, 2, 4):
        assert np.allclose(found.squares(subset)[:4], exact.squares(subset)[:4], rtol=1e-4, atol=1e-9)
