"""Blocks from their frequencies, against numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qiskit_solvers import TooLarge
from qiskit_solvers.linear_algebra.fourier_decoding import block_of_frequencies
from qiskit_solvers.linear_algebra.qft import error_bound


@settings(max_examples=15, deadline=None)
@given(qubits=st.integers(1, 6), seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-9, 1.0, 1e6]))
def test_the_block_is_numpy_s(qubits: int, seed: int, scale: float):
    block = scale * np.random.default_rng(seed).normal(size=2**qubits)
    np.testing.assert_allclose(block_of_frequencies(np.fft.fft(block)), block, atol=1e-11 * scale)


def test_an_approximate_transform_is_as_near_as_its_bound():
    block = np.random.default_rng(1).normal(size=32)
    found = block_of_frequencies(np.fft.fft(block), dropped=2)
    distance = np.linalg.norm(found - block)
    assert 1e-6 < distance <= error_bound(5, 2) * np.linalg.norm(block)


def test_no_frequencies_are_no_block():
    np.testing.assert_array_equal(block_of_frequencies(np.zeros(8)), np.zeros(8))


@pytest.mark.parametrize("frequencies", [np.ones(3), np.ones(1), np.ones((2, 2)), [1.0, np.nan]])
def test_what_is_no_block_is_refused(frequencies: np.ndarray):
    with pytest.raises(ValueError, match="expected"):
        block_of_frequencies(frequencies)


def test_a_block_beyond_the_limit_is_refused():
    with pytest.raises(TooLarge, match="at most 1024 entries, got 2048"):
        block_of_frequencies(np.ones(2048))
