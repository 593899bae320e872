"""A train that is made from a function of indices is that of the tensor, and of tensors that no machine could hold."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from tasks.codecs.networks.entries import coordinates, entries_of, random_indices
from tasks.codecs.networks.form import NetworkForm, parameters, reconstruct
from tasks.codecs.networks.implicit import as_tucker, cross, fit_implicit, sampled_error
from tasks.codecs.networks.named_forms import interleaved, natural, sequential

Indices = npt.NDArray[np.int64]


def hilbert(indices: Indices) -> npt.NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + indices.sum(axis=1)))


def dense(shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    return hilbert(np.indices(shape).reshape(len(shape), -1).T).reshape(shape)


def test_indices_of_a_network_are_those_of_its_tensor() -> None:
    form = NetworkForm("qtt", ((2, 3), (2, 2)), (2, 0, 1, 3), (2, 1, 1))
    tensor = np.arange(24).reshape(6, 4)
    indices = np.indices(form.modes).reshape(3, -1).T
    arranged = tensor.reshape(2, 3, 2, 2).transpose(2, 0, 1, 3).reshape(form.modes)
    assert np.array_equal(tensor[tuple(coordinates(form, indices).T)], arranged.ravel())


@pytest.mark.parametrize("kind", ["tt", "interleaved", "in turn"])
def test_a_crossed_train_is_the_tensor(rng: np.random.Generator, kind: str) -> None:
    shape = (32, 24, 16)
    form = {"tt": natural("tt", shape), "interleaved": interleaved(shape), "in turn": sequential(shape)}[kind]
    assert form is not None
    crossed = cross(hilbert, form, 1e-4, rng)
    exact = dense(shape)
    error = float(np.linalg.norm(reconstruct(crossed.network) - exact) / np.linalg.norm(exact))
    assert error <= 3e-4
    assert crossed.relative_error <= 1e-4
    indices = random_indices(form.modes, 200, rng)
    whole = exact[tuple(coordinates(form, indices).T)]
    np.testing.assert_allclose(entries_of(crossed.network, indices), whole, rtol=0, atol=1e-3)


def test_a_spike_that_no_fibre_meets_is_found_by_random_entries(rng: np.random.Generator) -> None:
    def spiked(indices: Indices) -> npt.NDArray[np.float64]:
        return hilbert(indices) + 5.0 * ((indices[:, 0] > 20) & (indices[:, 1] > 20))

    form = natural("tt", (32, 32, 8))
    assert cross(spiked, form, 1e-3, rng).relative_error <= 1e-3


def test_two_petabytes_are_a_few_kilobytes(rng: np.random.Generator) -> None:
    """512 x 512 x 512 x 64 x 4096 x 16 entries of 4 bytes; compared at random entries."""
    shape = (512, 512, 512, 64, 4096, 16)
    form = sequential(shape)
    assert form is not None
    assert math.prod(shape) * 4 > 2**50
    fitted = fit_implicit(hilbert, form, 1e-2, rng, points=20_000)
    assert fitted is not None
    assert fitted.relative_error <= 1e-2
    assert len(fitted.octets) < 4096
    assert fitted.evaluations < 1_000_000
    assert sampled_error(fitted.network, hilbert, 5_000, rng) <= 2e-2


def test_a_train_becomes_tucker_without_its_tensor(rng: np.random.Generator) -> None:
    shape = (40, 30, 20)
    train = cross(hilbert, natural("tt", shape), 1e-6, rng).network
    tucker = as_tucker(train, 1e-3)
    exact = dense(shape)
    assert np.linalg.norm(reconstruct(tucker) - exact) <= 1.01e-3 * np.linalg.norm(exact)
    assert parameters(tucker) < parameters(train)
    with pytest.raises(ValueError, match="own modes"):
        as_tucker(cross(hilbert, NetworkForm("tt", ((40,), (30,)), (1, 0), (1, 1)), 1e-3, rng).network, 1e-3)


def test_a_vector_a_zero_and_what_is_no_train(rng: np.random.Generator) -> None:
    single = cross(hilbert, natural("tt", (50,)), 1e-3, rng)
    np.testing.assert_allclose(reconstruct(single.network), dense((50,)))
    zero = cross(lambda indices: np.zeros(len(indices)), natural("tt", (5, 6)), 1e-3, rng)
    assert not reconstruct(zero.network).any()
    with pytest.raises(ValueError, match="expected tt or qtt"):
        cross(hilbert, natural("tucker", (5, 6)), 1e-3, rng)
    with pytest.raises(ValueError, match="finite"):
        cross(lambda indices: np.full(len(indices), np.nan), natural("tt", (5, 6)), 1e-3, rng)


def test_what_cannot_be_crossed_is_none(rng: np.random.Generator) -> None:
    table = rng.standard_normal((70, 70, 70))

    def noise(indices: Indices) -> npt.NDArray[np.float64]:
        return np.asarray(table[tuple(indices.T)])

    assert fit_implicit(noise, natural("tt", table.shape), 1e-6, rng, points=1000, evaluations_max=1) is None
